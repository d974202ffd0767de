#!/usr/bin/env bash
# Sends load with k6 to a service that runs: ./load.sh [URL] [NAME=VALUE...], for example ./load.sh RATE=200 DURATION=60s
# The URL is http://127.0.0.1:8000 by default. load.js describes the variables. Use the NodePort of a cluster, and not
# kubectl port-forward, which sends all requests to one pod.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")"

fail() { printf '%s\n' "$*" >&2; exit 1; }

url=http://127.0.0.1:8000 variables=()
for argument in "$@"; do
  case $argument in
    http://* | https://*) url=${argument%/} ;;
    [A-Z]*=*) variables+=(--env "$argument") ;;
    *) echo 'usage: ./load.sh [URL] [NAME=VALUE...]' >&2; exit 2 ;;
  esac
done
curl --silent --fail --noproxy '*' --max-time 5 --output /dev/null "$url/health/ready" ||
  fail "$url/health/ready does not return 200; start the service: ./run.sh local --keep"
k6=finalproject/.venv/bin/k6
[ -x "$k6" ] || ./finalproject/install.sh bench
# each virtual user has an open connection, and macOS allows 256 open files
ulimit -Sn "$(ulimit -Hn)" 2>/dev/null || ulimit -Sn 10000 2>/dev/null || echo "open files are limited to $(ulimit -Sn)"
export K6_NO_USAGE_REPORT=true
exec "$k6" run --include-system-env-vars=false --address 127.0.0.1:0 --env URL="$url" ${variables[@]+"${variables[@]}"} load.js
