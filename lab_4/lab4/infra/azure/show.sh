#!/usr/bin/env bash
# Shows what create.sh created, and its state: infra/azure/show.sh [--dry-run]. It changes nothing.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=azure.sh
. infra/azure/azure.sh

parse_args 'infra/azure/show.sh [--dry-run]' "$@"
require_az
require_kubectl
load_settings
show_subscription
load_state
[ -n "$resources" ] || fail "the resource group $RESOURCE_GROUP is empty or does not exist: infra/azure/create.sh"

add_table() { add az "$@" --subscription "$SUBSCRIPTION" --output table; }
add_table resource list --resource-group "$RESOURCE_GROUP"
if exists Microsoft.ContainerRegistry/registries "$REGISTRY"; then
  add_table acr repository list --name "$REGISTRY"
fi
if exists Microsoft.ContainerService/managedClusters "$CLUSTER"; then
  columns='kubernetes: currentKubernetesVersion, state: provisioningState, power: powerState.code'
  columns="$columns, policies: networkProfile.networkPolicy, istio: serviceMeshProfile.istio.revisions[0]"
  columns="$columns, prometheus: azureMonitorProfile.metrics.enabled"
  add_table aks show --name "$CLUSTER" --resource-group "$RESOURCE_GROUP" --query "{$columns}"
fi
if is_created_context; then
  add kubectl --context "$CLUSTER" get nodes
  add kubectl --context "$CLUSTER" get service aks-istio-ingressgateway-external --namespace aks-istio-ingress
fi
run_plan ''
