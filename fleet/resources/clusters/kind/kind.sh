#!/bin/sh
# Makes, shows and removes one kind cluster: `sh kind.sh create|show|delete`, run by the Command of command.py.
# Standard output is the kubeconfig and nothing else; it is written to no file that stays, and never to ~/.kube.
# Environment: KIND_NAME, KIND_CONFIG (YAML), KIND_IMAGE; if wanted KIND_NODE_SETUP (a script that each node runs once)
# and KIND_TAKE_OVER.
set -eu

create() {
  clusters=$(kind get clusters)
  if printf '%s\n' "$clusters" | grep -Fqx -- "$KIND_NAME"; then
    [ "${KIND_TAKE_OVER:-}" ] || fail "there is a kind cluster \`$KIND_NAME\` already, which this stack did not make"
    show
  else
    make
  fi
}

# Nothing half-made stays: a second process waits for a word, and removes the cluster when this one ends without it.
# A trap would not do: the engine kills this process outright when its user interrupts it. The provider waits for both,
# since both hold standard error.
make() {
  scratch=$(mktemp -d)
  mkfifo "$scratch/word"
  guard "$scratch" <"$scratch/word" >&2 &
  exec 3>"$scratch/word"
  kind create cluster --name "$KIND_NAME" --config - --image "$KIND_IMAGE" --kubeconfig "$scratch/kubeconfig" \
    --wait 5m >&2 3>&- <<EOF &
$KIND_CONFIG
EOF
  echo "$!" >&3
  status=0
  wait "$!" || status=$?
  [ "$status" -ne 1 ] || echo undone >&3 # by kind, unless the cluster is another's that came up meanwhile
  [ "$status" -eq 0 ] || exit "$status"
  if [ "${KIND_NODE_SETUP:-}" ]; then
    for node in $(kind get nodes --name "$KIND_NAME"); do
      printf '%s\n' "$KIND_NODE_SETUP" | "$(runtime)" exec -i "$node" sh >&2 3>&-
    done
  fi
  show
  echo made >&3
}

guard() {
  trap '' HUP INT TERM
  read -r maker || maker=
  if ! read -r word; then
    [ -z "$maker" ] || kill "$maker" 2>/dev/null || true
    kind delete cluster --name "$KIND_NAME" --kubeconfig "$1/kubeconfig" || true
  fi
  rm -rf "$1"
}

show() {
  kind get kubeconfig --name "$KIND_NAME"
}

delete() {
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  kind delete cluster --name "$KIND_NAME" --kubeconfig "$scratch/kubeconfig" >&2
}

# The one that kind chooses: https://kind.sigs.k8s.io/docs/user/quick-start/ (docker, then nerdctl, then podman).
runtime() {
  for program in ${KIND_EXPERIMENTAL_PROVIDER:-docker nerdctl podman}; do
    command -v "$program" && return
  done
}

fail() {
  echo "$1" >&2
  exit 1
}

case "$1" in
create | show | delete) "$1" ;;
*) fail "usage: sh kind.sh create|show|delete" ;;
esac
