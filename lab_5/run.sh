#!/usr/bin/env bash
# Measures lab_4's service at three cache rates, in both shapes: ./run.sh [local|docker|minikube|URL]   (DURATION=60s RUN=1 PORT=8000)
# With a URL, what answers there; else it starts lab_4 in that mode, and Prometheus on PROMETHEUS_PORT=9090, if it is installed.
# USERS, RATE, P95 and P99 are load.js'.
set -euo pipefail
set -m # what runs in the background has a process group of its own, to be stopped as a whole
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")"
duration=${DURATION:-60s} run=${RUN:-1} port=${PORT:-8000} prometheus_port=${PROMETHEUS_PORT:-9090}

heading() { printf '\n== %s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }
usage() { echo 'usage: ./run.sh [local|docker|minikube|URL]' >&2; exit 2; }
in_use() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

[ $# -le 1 ] || usage
mode='' url=''
case ${1:-} in
  '' | local | docker | minikube) mode=${1:-} ;;
  http://* | https://*) url=$1 ;;
  *) usage ;;
esac
[[ $duration =~ ^[1-9][0-9]{0,5}[smh]$ ]] || fail "DURATION is a time such as 30s, 5m or 1h, not '$duration'"
[[ $run =~ ^[1-9][0-9]{0,2}$ ]] || fail "RUN is a number from 1 to 999, not '$run'"
settings="DURATION=$duration RATE=${RATE:-200}"
for name in USERS P95 P99; do [ -z "${!name:-}" ] || settings="$settings $name=${!name}"; done

folder=''
stop() { # its group, told every 2 s until it is gone: what only just starts may not hear it
  local tick
  for ((tick = 0; ; tick++)); do
    kill -0 "$1" || break
    ((tick % 20)) || kill -- "-$1"
    sleep 0.1
  done 2>/dev/null
}
finish() {
  local status=$? pid
  trap '' INT TERM PIPE
  set +e # even if nobody reads what is said here
  [ -z "$(jobs -rp)$folder" ] || heading clean up
  for pid in $(jobs -rp); do stop "$pid"; echo "stopped process $pid"; done
  [ -z "$folder" ] || rm -rf "$folder"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

heading build
./install.sh

heading start
folder=$(mktemp -d)
service='' prometheus=''
if [ -z "$url" ]; then
  url=http://127.0.0.1:$port
  # shellcheck disable=SC2086 # a mode, or none
  ../lab_4/run.sh $mode --keep </dev/null >"$folder/service" 2>&1 & service=$!
  echo "lab_4/run.sh $mode --keep"
  if command -v prometheus >/dev/null && in_use "$prometheus_port"; then
    echo "port $prometheus_port is in use, so Prometheus does not watch: PROMETHEUS_PORT=$((prometheus_port + 1)) ./run.sh"
  elif command -v prometheus >/dev/null; then
    sed "s/api:8000/127.0.0.1:$port/; s#rules/#$PWD/rules/#" provisioning/prometheus.yml >"$folder/prometheus.yml"
    prometheus --config.file "$folder/prometheus.yml" --storage.tsdb.path "$folder/prometheus" \
      --web.listen-address "127.0.0.1:$prometheus_port" --log.level error </dev/null & prometheus=$!
    echo "Prometheus on http://127.0.0.1:$prometheus_port"
  fi
fi

heading wait
while [ -n "$service" ] && ! grep -q '^kept at' "$folder/service"; do # it has limits of its own for each of its steps
  kill -0 "$service" 2>/dev/null || { sed '/^== clean up/,$d' "$folder/service" | tail -n 5 >&2; fail 'lab_4 did not start'; }
  sleep 0.25
done
echo "$url is to be measured"
began=$(date +%s)

heading exercise
failed=''
for shape in closed open; do
  for rate in 0 0.5 1; do
    name=$shape-$rate-$run status=0
    # in the background, so that a signal need not wait for its end
    # shellcheck disable=SC2086 # words
    .venv/bin/python measure.py . "$name" URL="$url" SHAPE="$shape" CACHE_RATE="$rate" $settings </dev/null &
    wait $! || status=$?
    case $status in
      0) echo "results/$name.json" ;;
      99) echo "results/$name.json: a threshold was not held"; failed="$failed $name" ;;
      *) exit 1 ;;
    esac
  done
done
if [ -n "$prometheus" ] && kill -0 "$prometheus" 2>/dev/null; then
  .venv/bin/python -m dashboards.draw "http://127.0.0.1:$prometheus_port" "$began" "$(date +%s)"
  echo 'images/dashboard-lab_4.png has what the dashboard shows of it'
fi
[ -z "$failed" ] || fail "a threshold was not held in:$failed"
echo 'README.md tells how to bring back the committed runs, and how to make all those of Findings.md'
