#!/usr/bin/env bash
# Deploys the release that build-push.sh wrote, and asks it: ../run.sh aks [--dry-run] [--yes]. It stays until it is deleted.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=azure.sh
. infra/azure/azure.sh

words './run.sh aks [--dry-run] [--yes]' "$@"
need_kubectl
need kubelogin 'az aks install-cli'
need curl https://curl.se
settings
release=.k8s/overlays/release
[ -d .k8s ] || release=../$release # the final project's is one folder up
[ -f "$release/kustomization.yaml" ] || fail "no $release/kustomization.yaml: ./build-push.sh writes it"
grep -qxF "namespace: $NAMESPACE" "$release/kustomization.yaml" ||
  fail "$release is for another NAMESPACE than infra/azure/azure.env: ./build-push.sh writes it anew"
context=$(kubectl config current-context 2>/dev/null) || context=none
[ "$context" = "$CLUSTER" ] ||
  fail "kubectl's current context is $context, not $CLUSTER of infra/azure/azure.env: kubectl config use-context $CLUSTER"
found=$(kubectl --context "$CLUSTER" get namespace "$NAMESPACE" --ignore-not-found \
  --output 'jsonpath={.metadata.name}={.metadata.labels.app\.kubernetes\.io/part-of}') ||
  fail "kubectl does not get through to $CLUSTER; after create.sh Azure takes up to five minutes to let you in"
[ -z "$found" ] || [ "$found" = "$NAMESPACE=ml-systems" ] ||
  fail "there is a namespace $NAMESPACE that is not this lab's: take another name for NAMESPACE in infra/azure/azure.env"

note "context $CLUSTER, namespace $NAMESPACE, host $NAMESPACE.$DOMAIN, image $(sed -n 's/^ *digest: //p' "$release/kustomization.yaml")"
there=(kubectl --context "$CLUSTER" --namespace "$NAMESPACE")
host=$NAMESPACE.$DOMAIN
gateway="kubectl --context $CLUSTER --namespace aks-istio-ingress get service aks-istio-ingressgateway-external"

steps+=("sed 's/^  name: w255\$/  name: $NAMESPACE/' infra/namespace.yaml | kubectl --context $CLUSTER apply --filename -")
step kubectl --context "$CLUSTER" label namespace "$NAMESPACE" "istio.io/rev=$ISTIO_REVISION" --overwrite
step "${there[@]}" apply --filename infra/network-policies.yaml --filename infra/redis.yaml
step kubectl --context "$CLUSTER" apply --kustomize "$release"
step "${there[@]}" rollout status deployment/redis --timeout 300s
step "${there[@]}" rollout status deployment/api --timeout 600s
steps+=("address=\$($gateway --output 'jsonpath={.status.loadBalancer.ingress[0].ip}') && [ -n \"\$address\" ]")
ask_it() { steps+=("curl --fail-with-body --silent --show-error --max-time 30 --retry 10 --retry-delay 3 --retry-all-errors --include --resolve $host:80:\$address $*"); }
ask_it "http://$host/health"
ask_it "--data @infra/azure/predict.json http://$host/predict"
ask_it "--data @infra/azure/predict.json http://$host/predict"

carry_out yes
# shellcheck disable=SC2154 # one of the steps sets the address
note "it answers as http://$host once that name leads to $address; to take it away: kubectl --context $CLUSTER delete namespace $NAMESPACE"
