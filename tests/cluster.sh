#!/usr/bin/env bash
# Runs the tests that need a cluster, with lab_3 on a minikube of 2 nodes: tests/cluster.sh   (cluster.yml runs it on GitHub)
# The cluster stays up. The tests use a namespace of their own.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")"

# Calico enforces NetworkPolicies. A test drains one node, and the other one takes its pods.
minikube start --nodes 2 --cni calico
../lab_3/run.sh minikube
./install.sh dev

log=$(mktemp)
trap 'rm -f "$log"' EXIT
.venv/bin/python -m pytest -rs test_cluster.py | tee "$log"
if grep '^SKIPPED' "$log" >/dev/null; then
  echo 'failed: on this cluster no test may be skipped' >&2
  exit 1
fi
