kind create cluster --name [= trial =] [= "--image " ~ node_image ~ " " if fleet.mirror =]--wait 3m
[% if fleet.mirror and fleet.mirror.ca %]
# Its nodes trust the mirror as Flux does.
for node in $(kind get nodes --name [= trial =]); do
[% for server in fleet.mirror.servers %]
  yq '.stringData["ca.crt"]' scripts/[= names.TRUST_SECRET =].yaml | docker exec --interactive "$node" sh -c '
    mkdir -p /etc/containerd/certs.d/[= server =] && cd /etc/containerd/certs.d/[= server =] && cat >ca.crt &&
    printf "[host.\"https://[= server =]\"]\n  ca = \"%s/ca.crt\"\n" "$PWD" >hosts.toml'
[% endfor %]
done
[% endif %]
