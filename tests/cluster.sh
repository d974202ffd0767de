#!/usr/bin/env bash
# Runs test_cluster.py on a minikube of 2 nodes, which stays up: tests/cluster.sh   (cluster.yml runs it on GitHub)
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")"

# Calico enforces NetworkPolicies. A test drains one node, and the other one takes its pods.
minikube start --nodes 2 --cni calico
./install.sh dev
.venv/bin/python -m pytest -rs test_cluster.py | tee /dev/stderr | if grep '^SKIPPED'; then exit 1; fi # here no test may be skipped
