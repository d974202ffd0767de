#!/usr/bin/env bash
# Functions of create.sh, show.sh, delete.sh, deploy.sh and build-push.sh. They source it from the folder above infra.
# Each script adds commands to a plan. run_plan prints the plan, waits for the confirmation and runs the plan.
set -euo pipefail

plan=()
uuid='[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}'
# After Ctrl-C az only returns a failure. The traps end the script, with the usual exit status.
trap 'exit 130' INT
trap 'exit 143' TERM

note() { printf '# %s\n' "$*"; } # a comment, so that the output of a dry run can be pasted into a shell
fail() { printf '%s\n' "$*" >&2; exit 1; }

parse_args() { # usage argument...: sets dry_run and yes
  local usage=$1 argument
  shift
  dry_run='' yes=''
  for argument in "$@"; do
    if [ "$argument" = --dry-run ]; then
      dry_run=yes
    elif [ "$argument" = --yes ] && [[ $usage = *--yes* ]]; then
      yes=yes
    else
      printf 'usage: %s\n' "$usage" >&2
      exit 2
    fi
  done
}

require_command() { # command how-to-install
  command -v "$1" >/dev/null || fail "$1 is not installed: $2"
}
require_az() { require_command az 'https://learn.microsoft.com/cli/azure/install-azure-cli'; }
require_kubectl() { require_command kubectl 'az aks install-cli'; }
require_kubelogin() { require_command kubelogin 'az aks install-cli'; }

# Sets the variable of that name. No pattern allows a character with a special meaning in a shell.
load_setting() { # name pattern description
  local LC_ALL=C value
  value=$(sed -n "s/^$1=//p" infra/azure/azure.env | tail -n 1 | tr -d '\r')
  [[ $value =~ ^($2)$ ]] || fail "$1 in infra/azure/azure.env must be $3, not '$value'"
  printf -v "$1" %s "$value"
}

load_settings() {
  [ -f infra/azure/azure.env ] ||
    fail 'infra/azure/azure.env is missing: cp infra/azure/azure.env.example infra/azure/azure.env'
  local label='[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
  load_setting SUBSCRIPTION "$uuid" 'the ID of a subscription (az account list --output table)'
  load_setting LOCATION '[a-z][a-z0-9]{1,39}' 'a region (az account list-locations --output table)'
  load_setting RESOURCE_GROUP '[A-Za-z0-9][A-Za-z0-9_-]{0,29}' '1 to 30 letters, digits, - and _'
  load_setting REGISTRY '[a-z0-9]{5,50}' '5 to 50 lowercase letters and digits'
  load_setting CLUSTER '[a-z][a-z0-9-]{2,28}[a-z0-9]' \
    '4 to 30 lowercase letters, digits and -; the first is a letter, the last is no -'
  load_setting NODES '[1-9][0-9]?' 'a number from 1 to 99'
  load_setting NODE_SIZE '[A-Z][A-Za-z0-9]*_[A-Za-z0-9_]{1,39}' \
    'a VM size (az vm list-skus --location LOCATION --output table)'
  load_setting NAMESPACE "$label" 'a namespace: lowercase letters, digits and -'
  load_setting DOMAIN "($label\.)+[a-z]{2,}" 'a domain, for example example.com'
  # An earlier Istio starts its proxies with privileges that the Pod Security level `restricted` rejects.
  load_setting ISTIO_REVISION 'asm-1-(3[0-9]|[4-9][0-9])' 'asm-1-30 or later'
}

# Every az command names the subscription, so the default subscription of the Azure CLI is neither used nor changed.
az_query() { # argument...: a command that changes nothing
  az "$@" --subscription "$SUBSCRIPTION" --output tsv || fail "Azure query failed: az $*"
}

show_subscription() {
  local account
  account=$(az account show --subscription "$SUBSCRIPTION" --query "join(', user ', [name, user.name])" --output tsv) ||
    fail "no access to subscription $SUBSCRIPTION: run az login, and check SUBSCRIPTION in infra/azure/azure.env"
  note "subscription $SUBSCRIPTION: $account"
}

load_state() { # sets group_exists, resources (lines of type, tab, name) and context_user (of kubectl's context CLUSTER)
  group_exists=$(az_query group exists --name "$RESOURCE_GROUP")
  resources=''
  [ "$group_exists" = false ] ||
    resources=$(az_query resource list --resource-group "$RESOURCE_GROUP" --query '[].[type, name]')
  # go-template, because jsonpath fails on a kubeconfig without contexts
  local template="{{range .contexts}}{{if eq .name \"$CLUSTER\"}}{{.context.user}}{{end}}{{end}}"
  context_user=$(kubectl config view --output "go-template=$template")
  created_user=clusterUser_${RESOURCE_GROUP}_$CLUSTER # the name that az aks get-credentials writes
}
is_created_context() { [ "$context_user" = "$created_user" ]; }

exists() { # type name; Azure ignores upper and lower case
  grep -qixF "$1"$'\t'"$2" <<<"$resources"
}

add() { # argument...: adds a command to the plan, quoted for a shell
  local argument quoted=''
  for argument in "$@"; do
    case $argument in *[!A-Za-z0-9_./:=@,+-]*) argument="'$argument'" ;; esac # no argument contains a quote
    quoted="$quoted $argument"
  done
  plan+=("${quoted# }")
}
add_az() { add az "$@" --subscription "$SUBSCRIPTION" --output none; }

run_plan() { # confirmation: prints the plan, waits until the user types the confirmation (if not ''), runs the plan
  local command typed=''
  note 'commands to run:'
  printf '%s\n' "${plan[@]}"
  [ -z "$dry_run" ] || exit 0
  if [ -n "$1" ] && [ -z "$yes" ]; then
    printf 'type %s to run them: ' "$1"
    read -r typed || echo
    [ "$typed" = "$1" ] || fail 'not confirmed: nothing was changed'
  fi
  for command in "${plan[@]}"; do
    printf '\n+ %s\n' "$command"
    eval "$command" || fail "command failed: $command"
  done
}
