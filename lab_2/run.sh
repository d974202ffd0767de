#!/usr/bin/env bash
# Builds, starts, tries and stops this lab's service: ./run.sh [local|docker] [--keep]   (PORT=8000)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/lab2"
lab=lab2 port=${PORT:-8000}

heading() { printf '\n== %s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

mode='' keep='' pid='' container=''
for word in "$@"; do
  case $word in
    local | docker) mode=$word ;;
    --keep) keep=yes ;;
    *) echo 'usage: ./run.sh [local|docker] [--keep]' >&2; exit 2 ;;
  esac
done
[[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535 ]] || fail "PORT is a number from 1 to 65535, not '$port'"
url=http://127.0.0.1:$port
if [ "$mode" != local ] && ! docker info >/dev/null 2>&1; then
  [ -z "$mode" ] || fail 'Docker is not installed or not running: start it, or use ./run.sh local'
  echo 'Docker is not installed or not running; going on as ./run.sh local'
  mode=local
fi
if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then fail "port $port is in use: PORT=$((port + 1)) ./run.sh"; fi

stop() { while kill "$1"; do sleep 0.1; done 2>/dev/null; } # told until it is gone: what only just starts may not hear it
finish() {
  local status=$?
  trap '' INT TERM PIPE
  set +e # even if nobody reads what is said here
  if [ "$mode" = local ]; then pid=${!:-}; fi # Ctrl-C may have come before pid=$!
  if [ -n "$pid$container" ]; then heading clean up; fi
  if [ -n "$pid" ]; then stop "$pid"; echo "stopped process $pid"; fi
  if [ -n "$container" ]; then docker rm --force "$container" >/dev/null 2>&1 && echo "removed container $container" || true; fi
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# curl, or where there is none, Python's own client for the few options used here
export no_proxy=127.0.0.1${no_proxy:+,$no_proxy}
command -v curl >/dev/null || curl() {
  "$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)" -c '
import sys, urllib.error, urllib.request
words = sys.argv[1:]
url = next(word for word in words if word.startswith("http"))
data = words[words.index("-d") + 1].encode() if "-d" in words else None
try:
    answer = urllib.request.urlopen(urllib.request.Request(url, data), timeout=60)
except urllib.error.HTTPError as error:
    answer = error
print(answer.read().decode(), answer.status, sep="\n", end="")' "$@" 2>/dev/null
}

try() { # status text command: the command as a student types it, and what it must answer
  printf '$ %s\n' "$3"
  local answer; answer=$(eval "$3 --silent --max-time 60 --write-out '\n%{http_code}'") || fail "no answer"
  printf '%s\n' "${answer%$'\n'*}"
  [ "${answer##*$'\n'}" = "$1" ] || fail "status ${answer##*$'\n'} where $1 was expected"
  case $answer in *"$2"*) ;; *) fail "no $2 in the answer" ;; esac
}

heading build
case $mode in
  local) ./install.sh ;;
  docker) docker build --tag "$lab" . ;;
esac

heading start
case $mode in
  local) .venv/bin/uvicorn src.main:app --port "$port" --log-level warning & pid=$! ;;
  docker) container=$lab-$$; docker run --detach --name "$container" --publish "127.0.0.1:$port:8000" "$lab" ;;
esac

heading wait
for ((tick = 0; tick < 240; tick++)); do
  if curl "$url/health" --silent --max-time 5 --write-out '\n%{http_code}' >/dev/null; then break; fi
  case $mode in
    local) kill -0 "$pid" 2>/dev/null || fail 'the server stopped' ;;
    docker) [ "$(docker inspect --format '{{.State.Running}}' "$container")" = true ] || { docker logs "$container"; fail 'the server stopped'; } ;;
  esac
  sleep 0.25
done
[ "$tick" -lt 240 ] || fail 'no answer after a minute'
echo "$url answers"

heading exercise
try 200 '"lab_2"' "curl $url/"
try 200 '"Hello Ada"' "curl '$url/hello?name=Ada'"
try 422 '"missing"' "curl $url/hello"
try 200 '"ok"' "curl $url/health"
place='"MedInc": 8.3252, "HouseAge": 41, "AveRooms": 6.984, "AveBedrms": 1.024, "Population": 322, "AveOccup": 2.556'
try 200 '"predictions":[4.' "curl -d '{\"data\": [{$place, \"Latitude\": 37.88, \"Longitude\": -122.23}]}' $url/predict"
try 422 '"Latitude"' "curl -d '{\"data\": [{$place, \"Latitude\": 91, \"Longitude\": -122.23}]}' $url/predict"

if [ -n "$keep" ]; then
  echo "kept at $url until Ctrl-C; $url/docs in a browser"
  if [ "$mode" = docker ]; then docker wait "$container" >/dev/null & fi
  wait $!
fi
