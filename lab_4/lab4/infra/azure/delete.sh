#!/usr/bin/env bash
# Deletes the resource group that create.sh created, with everything in it, and kubectl's context for its cluster:
# infra/azure/delete.sh [--dry-run] [--yes]. It lists the resources first, and the user must type the name of the group.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=azure.sh
. infra/azure/azure.sh

parse_args 'infra/azure/delete.sh [--dry-run] [--yes]' "$@"
require_az
require_kubectl
load_settings
show_subscription
load_state

if [ "$group_exists" = true ]; then
  made_by=$(az_query group show --name "$RESOURCE_GROUP" --query tags.made_by)
  [ "$made_by" = create.sh ] ||
    fail "create.sh did not create the resource group $RESOURCE_GROUP: delete your own resources in it yourself"
  note "resources in the resource group $RESOURCE_GROUP:"
  printf '%s\n' "${resources:-none}" | sed 's/^/#   /'
  add_az group delete --name "$RESOURCE_GROUP" --yes
fi

# The user's name shows that az aks get-credentials wrote the context. A context CLUSTER of another cluster stays.
if is_created_context; then
  current=$(kubectl config current-context 2>/dev/null) || true
  [ "$current" != "$CLUSTER" ] || add kubectl config unset current-context
  add kubectl config delete-context "$CLUSTER"
  add kubectl config delete-cluster "$CLUSTER"
  add kubectl config delete-user "$created_user"
fi

if [ "${#plan[@]}" -eq 0 ]; then
  note "nothing to delete: no resource group $RESOURCE_GROUP, and no context of its cluster"
  exit
fi
run_plan "$RESOURCE_GROUP"
