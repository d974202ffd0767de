#!/usr/bin/env bash
# Creates the resource group, the registry, the AKS cluster with Istio and Prometheus, and kubectl's context for it:
# infra/azure/create.sh [--dry-run] [--yes]. It can be run again: it creates only what does not exist.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=azure.sh
. infra/azure/azure.sh

parse_args 'infra/azure/create.sh [--dry-run] [--yes]' "$@"
require_az
require_kubectl
require_kubelogin
load_settings
show_subscription

group=(--resource-group "$RESOURCE_GROUP")
cluster=(--name "$CLUSTER" "${group[@]}")
providers=/subscriptions/$SUBSCRIPTION/resourceGroups/$RESOURCE_GROUP/providers
load_state
[ -z "$context_user" ] || is_created_context ||
  fail "kubectl has a context $CLUSTER of another cluster: change CLUSTER in infra/azure/azure.env"

# delete.sh deletes only a group with this tag. A group that already existed does not get it.
[ "$group_exists" = true ] ||
  add_az group create --name "$RESOURCE_GROUP" --location "$LOCATION" --tags made_by=create.sh

exists Microsoft.ContainerRegistry/registries "$REGISTRY" ||
  add_az acr create --name "$REGISTRY" "${group[@]}" --location "$LOCATION" --sku Basic

if exists Microsoft.ContainerService/managedClusters "$CLUSTER"; then
  add_az aks wait "${cluster[@]}" --created # Azure may still be creating the cluster of an interrupted run
  revisions=$(az_query aks show "${cluster[@]}" --query "join(' ', serviceMeshProfile.istio.revisions || ['none'])")
  [[ " $revisions " = *" $ISTIO_REVISION "* ]] ||
    fail "the cluster $CLUSTER has Istio $revisions, but ISTIO_REVISION in infra/azure/azure.env is $ISTIO_REVISION"
else
  # README.md gives the reason for each option.
  add_az aks create "${cluster[@]}" --location "$LOCATION" --node-count "$NODES" --node-vm-size "$NODE_SIZE" \
    --network-plugin azure --network-plugin-mode overlay --network-dataplane cilium \
    --enable-azure-service-mesh --revision "$ISTIO_REVISION" \
    --enable-aad --enable-azure-rbac --disable-local-accounts --no-ssh-key
fi

add_az aks update "${cluster[@]}" --attach-acr "$REGISTRY"
add_az aks mesh enable-ingress-gateway "${cluster[@]}" --ingress-gateway-type External
# By default AKS creates the workspace in another resource group, which delete.sh would not delete.
add_az monitor account create "${cluster[@]}" --location "$LOCATION"
add_az aks update "${cluster[@]}" --enable-azure-monitor-metrics \
  --azure-monitor-workspace-resource-id "$providers/Microsoft.Monitor/accounts/$CLUSTER"

user_id=$(az ad signed-in-user show --query id --output tsv) || fail 'Azure query failed: az ad signed-in-user show'
[[ $user_id =~ ^$uuid$ ]] || fail "az ad signed-in-user show returned no ID: '$user_id'"
add_az role assignment create --role 'Azure Kubernetes Service RBAC Cluster Admin' \
  --assignee-object-id "$user_id" --assignee-principal-type User \
  --scope "$providers/Microsoft.ContainerService/managedClusters/$CLUSTER"
add_az aks get-credentials "${cluster[@]}" --overwrite-existing
add kubelogin convert-kubeconfig -l azurecli --context "$CLUSTER" # without --context it changes all contexts of Azure

run_plan yes
note "kubectl's current context is $CLUSTER. Azure needs up to 5 minutes to grant access. Next: ./build-push.sh"
