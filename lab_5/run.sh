#!/usr/bin/env bash
# Load-tests lab_4's service with load.js: ./run.sh [local|docker|minikube|URL]   (DURATION=30s VUS=32 RATE=200 PORT=8000)
# 3 cache rates in a closed and an open workload. It starts the service with lab_4/run.sh, or uses the one at a URL.
# ./run.sh experiments [NAME...] [--commit] measures all of Findings.md; bench/experiments.py describes it.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")"
duration=${DURATION:-30s} vus=${VUS:-32} rate=${RATE:-200}
export ROUNDS=${ROUNDS:-3} # of ./run.sh experiments

heading() { printf '\n== %s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }
usage() { echo 'usage: ./run.sh [local|docker|minikube|URL], or ./run.sh experiments [NAME...] [--commit]' >&2; exit 2; }

mode='' url=''
case ${1:-} in
  experiments) ;;
  '' | local | docker | minikube) mode=${1:-} ;;
  http://* | https://*) url=${1%/} ;;
  *) usage ;;
esac
[ $# -le 1 ] || [ "$1" = experiments ] || usage
[[ $duration =~ ^[1-9][0-9]*[smh]$ ]] || fail "DURATION must be a time such as 30s, 5m or 1h, not '$duration'"
for name in vus rate ROUNDS; do
  [[ ${!name} =~ ^[1-9][0-9]*$ ]] || fail "VUS, RATE and ROUNDS must be whole numbers from 1, not '${!name}'"
done
command -v curl >/dev/null || fail 'curl is not installed: https://curl.se/download.html'
# Each request in flight needs an open file in k6 and one in the service. macOS allows 256.
ulimit -Sn "$(ulimit -Hn)" 2>/dev/null || ulimit -Sn 10240 2>/dev/null || true
files=$(ulimit -Sn) required=$((100 + (vus > 2 * rate ? vus : 2 * rate)))
if [ "$files" != unlimited ] && [ "$files" -lt "$required" ]; then
  echo "The hard limit on open files is $files, so latencies can be too high: ulimit -Hn $required as root, or lower VUS and RATE"
fi

folder=''
stop() { # process: SIGTERM to its group once, because the docker command gives up after three. Then to the process only,
  # every 2 s, because a process that has just started ignores the first one.
  local tick
  kill -- "-$1" || return 0
  for ((tick = 1; ; tick++)); do
    kill -0 "$1" || break
    ((tick % 20)) || kill "$1"
    sleep 0.1
  done
} 2>/dev/null
clean_up() {
  local status=$? process
  trap '' INT TERM PIPE
  set +e # also when standard output is closed, as in ./run.sh | head
  [ -z "$folder" ] || heading clean up
  for process in $(jobs -rp); do stop "$process"; echo "stopped process $process"; done
  [ -z "$folder" ] || rm -rf "$folder"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

heading build
unset "${!PYTHON@}" # settings of other Python projects
./install.sh
if [ "${1:-}" = experiments ]; then exec .venv/bin/python -m bench.experiments "${@:2}"; fi

heading start
folder=$(mktemp -d)
service='' note="k6 sent the requests to $url." log=$folder/log
: >"$log"
if [ -z "$url" ]; then
  set -m # each of these two jobs has its own process group, which `stop` ends as a whole
  # shellcheck disable=SC2086 # a mode, or none
  ../lab_4/run.sh $mode --keep </dev/null >"$log" 2>&1 & service=$!
  set +m
  echo "../lab_4/run.sh $mode --keep"
fi

heading wait
while [ -n "$service" ] && ! grep -q '^kept at' "$log"; do # each step of lab_4/run.sh has a time limit
  kill -0 "$service" 2>/dev/null || { sed '/^== clean up/,$d' "$log" | tail -n 5 >&2; fail 'lab_4 did not start'; }
  sleep 0.25
done
if [ -n "$service" ]; then
  grep '; continuing with ' "$log" || true # without minikube
  url=$(sed -n 's/^kept at \(.*\) until.*/\1/p' "$log")
  note=$(grep -o 'The requests go through .*' "$log" || true) # on minikube: the NodePort, or the tunnel of kubectl
fi
host=${url#*://} && host=${host%%[:/]*}
export no_proxy=$host,127.0.0.1${no_proxy:+,$no_proxy} NO_PROXY=$host,127.0.0.1${NO_PROXY:+,$NO_PROXY}
curl --disable --silent --fail --max-time 5 --output /dev/null "$url/health" || fail "$url/health does not return 200"
echo "$url responds${note:+. $note}"

heading load test
set -m
DURATION=$duration VUS=$vus RATE=$rate NOTE=$note .venv/bin/python -m bench.measure "$url" </dev/null & load=$!
set +m
wait "$load" || { # in the background, because bash runs a trap only after a foreground command has ended
  sed '1,/^kept at/d' "$log" | tail -n 5 >&2 # what the service logged during the load
  exit 1
}
