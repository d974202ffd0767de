#!/usr/bin/env bash
# Makes the resource group, the registry, the AKS cluster with Istio and Prometheus, and kubectl's context for it:
# infra/azure/create.sh [--dry-run] [--yes]. What is there is left alone, so it can be run again, after Ctrl-C too.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=azure.sh
. infra/azure/azure.sh

words 'infra/azure/create.sh [--dry-run] [--yes]' "$@"
need_az
need_kubectl
need kubelogin 'az aks install-cli'
settings
subscription

group=(--resource-group "$RESOURCE_GROUP")
cluster=(--name "$CLUSTER" "${group[@]}")
providers=/subscriptions/$SUBSCRIPTION/resourceGroups/$RESOURCE_GROUP/providers
look
[ -z "$context_user" ] || own_context ||
  fail "kubectl has a context $CLUSTER of another cluster: take another name for CLUSTER in infra/azure/azure.env"

# The tag says to delete.sh that the group may be deleted: a group that was there before does not get it.
[ "$group_exists" = true ] ||
  az_step group create --name "$RESOURCE_GROUP" --location "$LOCATION" --tags made_by=create.sh

has Microsoft.ContainerRegistry/registries "$REGISTRY" ||
  az_step acr create --name "$REGISTRY" "${group[@]}" --location "$LOCATION" --sku Basic

if has Microsoft.ContainerService/managedClusters "$CLUSTER"; then
  az_step aks wait "${cluster[@]}" --created # an earlier run may have been stopped while Azure was making it
  revisions=$(ask aks show "${cluster[@]}" --query "serviceMeshProfile.istio.revisions || ['none']")
  grep -qxF "$ISTIO_REVISION" <<<"$revisions" ||
    fail "the cluster $CLUSTER has Istio ${revisions//$'\n'/ and }, and ISTIO_REVISION in infra/azure/azure.env is $ISTIO_REVISION"
else
  # Cilium enforces the network policies. People come in through Entra and Azure's roles (kubelogin), and no
  # certificate that never asks who you are lies about; no SSH key either.
  az_step aks create "${cluster[@]}" --location "$LOCATION" --node-count "$NODES" --node-vm-size "$NODE_SIZE" \
    --network-plugin azure --network-plugin-mode overlay --network-dataplane cilium \
    --enable-azure-service-mesh --revision "$ISTIO_REVISION" \
    --enable-aad --enable-azure-rbac --disable-local-accounts --no-ssh-key
fi

az_step aks update "${cluster[@]}" --attach-acr "$REGISTRY"
az_step aks mesh enable-ingress-gateway "${cluster[@]}" --ingress-gateway-type External
# A workspace in this group: left to itself, AKS makes one in a group of its own, which delete.sh would not find.
az_step monitor account create "${cluster[@]}" --location "$LOCATION"
az_step aks update "${cluster[@]}" --enable-azure-monitor-metrics \
  --azure-monitor-workspace-resource-id "$providers/Microsoft.Monitor/accounts/$CLUSTER"

me=$(az ad signed-in-user show --query id --output tsv) || fail 'az could not say: az ad signed-in-user show'
[[ $me =~ ^$id$ ]] || fail "az ad signed-in-user show gave no id: '$me'"
az_step role assignment create --role 'Azure Kubernetes Service RBAC Cluster Admin' \
  --assignee-object-id "$me" --assignee-principal-type User \
  --scope "$providers/Microsoft.ContainerService/managedClusters/$CLUSTER"
az_step aks get-credentials "${cluster[@]}" --overwrite-existing
step kubelogin convert-kubeconfig -l azurecli --context "$CLUSTER" # else it converts every context of Azure that you have

carry_out yes
note "kubectl's context is $CLUSTER now; Azure takes up to five minutes to let you in. Next: ./build-push.sh"
