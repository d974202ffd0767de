#!/usr/bin/env bash
# Builds, starts, smoke-tests and stops this lab's service: ./run.sh [local|docker] [--keep]   (PORT=8000)
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/lab2"
lab=lab2 port=${PORT:-8000}

heading() { printf '\n== %s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

mode='' keep=''
for argument in "$@"; do
  case $argument in
    local | docker) mode=$argument ;;
    --keep) keep=yes ;;
    *) echo 'usage: ./run.sh [local|docker] [--keep]' >&2; exit 2 ;;
  esac
done
[[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535 ]] || fail "PORT must be a number from 1 to 65535, not '$port'"
command -v curl >/dev/null || fail 'curl is not installed: https://curl.se/download.html'
if [ "$mode" != local ] && ! docker info >/dev/null 2>&1; then
  [ -z "$mode" ] || fail 'Docker is not installed or not running: start it, or use ./run.sh local'
  echo 'Docker is not installed or not running; continuing with ./run.sh local'
  mode=local
fi
mode=${mode:-docker}
if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then fail "port $port is in use: PORT=$((port + 1)) ./run.sh"; fi

# Drop settings of other Python projects, and use no proxy for the service.
unset "${!PYTHON@}" "${!UVICORN@}" WEB_CONCURRENCY
export no_proxy=127.0.0.1,localhost${no_proxy:+,$no_proxy}${NO_PROXY:+,$NO_PROXY}
export NO_PROXY=$no_proxy
curl=(curl --disable --silent --max-time 60) # --disable: ignore ~/.curlrc

stop() { # process: SIGTERM, and after 8 s SIGKILL. Only one SIGTERM: after three, the docker command gives up.
  kill "$1" || return 0
  for ((tick = 0; tick < 80; tick++)); do kill -0 "$1" || return 0; sleep 0.1; done
  kill -KILL "$1"
} 2>/dev/null
clean_up() {
  local status=$? process
  trap '' INT TERM PIPE
  set +e # also when standard output is closed, as in ./run.sh | head
  for process in $(jobs -rp); do heading clean up; stop "$process"; echo "stopped process $process"; done
  if [ "$mode" = docker ] && docker rm --force "$lab-$$" >/dev/null 2>&1; then echo "removed container $lab-$$"; fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

expect() { # status text command: runs a curl command and checks the status and the text of the response
  printf '+ %s\n' "$3"
  local response status
  response=$(eval "${curl[*]} --show-error --write-out '\n%{http_code}' ${3#curl}") || fail 'the service did not respond'
  status=${response##*$'\n'}
  printf '%s\n' "${response%$'\n'*}"
  [ "$status" = "$1" ] || fail "expected status $1, not $status"
  case $response in *"$2"*) ;; *) fail "expected $2 in the response" ;; esac
}

heading build
case $mode in
  local) ./install.sh ;;
  docker) docker build --tag "$lab" . ;;
esac

heading start
case $mode in
  local)
    .venv/bin/python -m uvicorn src.main:app --port "$port" --http h11 --log-level warning \
      --timeout-keep-alive 75 --timeout-graceful-shutdown 5 &
    ;;
  docker) docker run --name "$lab-$$" --publish "127.0.0.1:$port:8000" "$lab" >/dev/null & ;; # its log is on standard error
esac

heading wait
url=http://127.0.0.1:$port
deadline=$((SECONDS + 60))
until "${curl[@]}" --max-time 2 --output /dev/null "$url/health"; do
  kill -0 $! 2>/dev/null || fail 'the service stopped'
  [ "$SECONDS" -lt "$deadline" ] || fail 'the service did not respond within 60 s'
  sleep 0.25
done
echo "$url responds"

heading smoke test
expect 200 '"lab_2"' "curl $url/"
expect 200 '"Hello Ada"' "curl '$url/hello?name=Ada'"
expect 422 '"missing"' "curl $url/hello"
expect 200 '"ok"' "curl $url/health"
block_group='"MedInc": 8.3252, "HouseAge": 41, "AveRooms": 6.984, "AveBedrms": 1.024, "Population": 322, "AveOccup": 2.556'
expect 200 '"predictions":[4.' "curl -d '{\"data\": [{$block_group, \"Latitude\": 37.88, \"Longitude\": -122.23}]}' $url/predict"
expect 422 '"Latitude"' "curl -d '{\"data\": [{$block_group, \"Latitude\": 91, \"Longitude\": -122.23}]}' $url/predict"

if [ -n "$keep" ]; then
  echo "kept at $url until Ctrl-C; open $url/docs in a browser"
  wait $!
fi
