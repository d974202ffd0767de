#!/usr/bin/env bash
# Deploys the release that build-push.sh wrote, and smoke-tests it: ../run.sh aks [--dry-run] [--yes].
# The service continues to run.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=azure.sh
. infra/azure/azure.sh

parse_args './run.sh aks [--dry-run] [--yes]' "$@"
require_kubectl
require_kubelogin
require_command curl https://curl.se/download.html
load_settings
release=.k8s/overlays/release
[ -d .k8s ] || release=../$release # the final project has .k8s one folder up
[ -f "$release/kustomization.yaml" ] || fail "$release/kustomization.yaml is missing: run ./build-push.sh"
stale="$release is for another NAMESPACE or DOMAIN than infra/azure/azure.env: run ./build-push.sh"
grep -qxF "namespace: $NAMESPACE" "$release/kustomization.yaml" || fail "$stale"
grep -qF " $NAMESPACE.$DOMAIN}" "$release/kustomization.yaml" || fail "$stale"
context=$(kubectl config current-context 2>/dev/null) || context=none
[ "$context" = "$CLUSTER" ] ||
  fail "kubectl's current context is $context, not CLUSTER in azure.env: kubectl config use-context $CLUSTER"
owner=$(kubectl --context "$CLUSTER" get namespace "$NAMESPACE" --ignore-not-found \
  --output 'jsonpath={.metadata.name}={.metadata.labels.app\.kubernetes\.io/part-of}') ||
  fail "kubectl cannot connect to cluster $CLUSTER; after create.sh, Azure needs up to 5 minutes to grant access"
[ -z "$owner" ] || [ "$owner" = "$NAMESPACE=ml-systems" ] ||
  fail "the namespace $NAMESPACE belongs to another project: change NAMESPACE in infra/azure/azure.env"

host=$NAMESPACE.$DOMAIN
kubectl=(kubectl --context "$CLUSTER")
namespaced=("${kubectl[@]}" --namespace "$NAMESPACE")
digest=$(sed -n 's/^ *digest: //p' "$release/kustomization.yaml")
note "context $CLUSTER, namespace $NAMESPACE, host $host, image $digest"

plan+=("sed 's/^  name: w255\$/  name: $NAMESPACE/' infra/namespace.yaml | ${kubectl[*]} apply --filename -")
# before the pods, because Istio adds its proxy when a pod is created
add "${kubectl[@]}" label namespace "$NAMESPACE" "istio.io/rev=$ISTIO_REVISION" --overwrite
add "${namespaced[@]}" apply --filename infra/network-policies.yaml --filename infra/redis.yaml
add "${kubectl[@]}" apply --kustomize "$release"
add "${namespaced[@]}" rollout status deployment/redis --timeout 300s
add "${namespaced[@]}" rollout status deployment/api --timeout 600s

gateway="${kubectl[*]} --namespace aks-istio-ingress get service aks-istio-ingressgateway-external"
plan+=("address=\$($gateway --output 'jsonpath={.status.loadBalancer.ingress[0].ip}') && [ -n \"\$address\" ]")
curl="curl --fail-with-body --silent --show-error --include --max-time 30 --retry 10 --retry-delay 3 --retry-all-errors"
curl="$curl --resolve $host:80:\$address" # no DNS entry is needed
plan+=("$curl http://$host/health")
plan+=("$curl --data @infra/azure/predict.json http://$host/predict")
plan+=("$curl --data @infra/azure/predict.json http://$host/predict") # the second response is a cache hit

run_plan yes
# shellcheck disable=SC2154 # a command of the plan sets the address
note "http://$host responds once the DNS entry of $host is $address"
note "to remove the service: ${kubectl[*]} delete namespace $NAMESPACE"
