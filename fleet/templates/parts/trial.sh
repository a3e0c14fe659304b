
export AUTH=token
[% if fleet.alerts.chat %]
export FLUX_ALERT_ADDRESS=http://127.0.0.1:9 # nobody is told of a trial
[% endif %]
bash scripts/bootstrap.sh "$cluster" "$instance"
bash scripts/await.sh
