#!/usr/bin/env bash
# Deletes the resource group that create.sh made, with all that lies in it, and kubectl's context for its cluster, no other:
# infra/azure/delete.sh [--dry-run] [--yes]. It shows what lies there and has the group's name typed first.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source-path=SCRIPTDIR source=azure.sh
. infra/azure/azure.sh

words 'infra/azure/delete.sh [--dry-run] [--yes]' "$@"
need_az
need_kubectl
settings
subscription

look
if [ "$group_exists" = true ]; then
  made_by=$(ask group show --name "$RESOURCE_GROUP" --query tags.made_by)
  [ "$made_by" = create.sh ] ||
    fail "the resource group $RESOURCE_GROUP was not made by create.sh: delete by hand what is yours in it"
  note "in the resource group $RESOURCE_GROUP:"
  printf '%s\n' "${resources:-nothing}" | while IFS= read -r line; do note "  $line"; done
  az_step group delete --name "$RESOURCE_GROUP" --yes
fi

# Only what get-credentials wrote, known by the user that it names: a context of the same name for another cluster stays.
if own_context; then
  current=$(kubectl config current-context 2>/dev/null) || true
  [ "$current" != "$CLUSTER" ] || step kubectl config unset current-context
  step kubectl config delete-context "$CLUSTER"
  step kubectl config delete-cluster "$CLUSTER"
  step kubectl config delete-user "$own_user"
fi

[ "${#steps[@]}" -gt 0 ] || { note "no resource group $RESOURCE_GROUP and no context of its cluster: nothing to delete"; exit; }
carry_out "$RESOURCE_GROUP"
