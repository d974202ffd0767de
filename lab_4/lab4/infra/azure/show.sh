#!/usr/bin/env bash
# Shows what create.sh made and how it does: infra/azure/show.sh [--dry-run]. It changes nothing.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=azure.sh
. infra/azure/azure.sh

words 'infra/azure/show.sh [--dry-run]' "$@"
need_az
need_kubectl
settings
subscription

show() { step az "$@" --subscription "$SUBSCRIPTION" --output table; }
group=(--resource-group "$RESOURCE_GROUP")
look
[ -n "$resources" ] || fail "nothing lies in the resource group $RESOURCE_GROUP, or there is none: infra/azure/create.sh"

show resource list "${group[@]}"
if has Microsoft.ContainerRegistry/registries "$REGISTRY"; then
  show acr repository list --name "$REGISTRY"
fi
if has Microsoft.ContainerService/managedClusters "$CLUSTER"; then
  state='kubernetes: currentKubernetesVersion, state: provisioningState, power: powerState.code'
  parts='policies: networkProfile.networkPolicy, istio: serviceMeshProfile.istio.revisions[0], prometheus: azureMonitorProfile.metrics.enabled'
  show aks show --name "$CLUSTER" "${group[@]}" --query "{$state, $parts}"
fi
if own_context; then
  step kubectl --context "$CLUSTER" get nodes
  step kubectl --context "$CLUSTER" get service aks-istio-ingressgateway-external --namespace aks-istio-ingress
fi
carry_out ''
