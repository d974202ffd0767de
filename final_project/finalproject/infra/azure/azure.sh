#!/usr/bin/env bash
# What create.sh, show.sh, delete.sh and build-push.sh share: settings, questions, and steps that are shown before they run.
# Sourced from the folder that holds infra/; by itself it does nothing.
set -euo pipefail

steps=()
id='[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}'
trap 'exit 130' INT # az ends a Ctrl-C as a failure of its own, and the next step would follow
trap 'exit 143' TERM

note() { printf '# %s\n' "$*"; } # a comment, so that all of a dry run can be pasted into a shell
fail() { printf '%s\n' "$*" >&2; exit 1; }

words() { # usage word...: the words of the command line
  local word
  dry='' yes=''
  for word in "${@:2}"; do
    case $word in
      --dry-run) dry=yes ;;
      --yes) yes=yes ;;
      *) yes=none ;;
    esac
    [ -z "$yes" ] || [[ $yes = yes && $1 = *--yes* ]] || { printf 'usage: %s\n' "$1" >&2; exit 2; }
  done
}

need() { # tool how: what cannot be done without
  command -v "$1" >/dev/null || fail "$1 is missing: $2"
}
need_az() { need az 'https://learn.microsoft.com/cli/azure/install-azure-cli'; }
need_kubectl() { need kubectl 'az aks install-cli'; }

setting() { # name pattern what: the value in azure.env, of known characters only, for it becomes part of commands
  local LC_ALL=C value
  value=$(tr -d '\r' <infra/azure/azure.env | sed -n "s/^$1=//p" | paste -s -d ' ' -)
  [ -n "$value" ] || fail "$1 is missing or empty in infra/azure/azure.env: it is $3"
  [[ $value =~ ^($2)$ ]] || fail "$1 in infra/azure/azure.env is $3, not '$value'"
  printf -v "$1" %s "$value"
}

settings() {
  [ -f infra/azure/azure.env ] || fail 'infra/azure/azure.env is missing: cp infra/azure/azure.env.example infra/azure/azure.env'
  local label='[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
  setting SUBSCRIPTION "$id" "a subscription's id (az account list --output table)"
  setting LOCATION '[a-z][a-z0-9]{1,39}' 'a region (az account list-locations --output table)'
  setting RESOURCE_GROUP '[A-Za-z0-9][A-Za-z0-9_-]{0,29}' '1 to 30 letters, digits, - and _'
  setting REGISTRY '[a-z0-9]{5,50}' '5 to 50 small letters and digits'
  setting CLUSTER '[a-z][a-z0-9-]{2,28}[a-z0-9]' '4 to 30 small letters, digits and -, from a letter to no -'
  setting NODES '[1-9][0-9]?' 'a number from 1 to 99'
  setting NODE_SIZE '[A-Z][A-Za-z0-9]*_[A-Za-z0-9_]{1,39}' 'a size of machines (az vm list-skus --location LOCATION --output table)'
  setting NAMESPACE "$label" 'the name of a namespace: small letters, digits and -'
  setting DOMAIN "($label\.)+[a-z]{2,}" 'a domain, as example.com'
  setting ISTIO_REVISION 'asm-1-(3[0-9]|[4-9][0-9])' 'asm-1-30 or later (before it, restricted pods get no proxy)'
}

# Every call names the subscription: nobody's default is relied on, or changed.
ask() { # words...: a question to az, which changes nothing
  az "$@" --subscription "$SUBSCRIPTION" --output tsv || fail "az could not say: az $*"
}

subscription() { # says whose bill this is
  local said why
  if ! said=$(az account show --query '[name, user.name]' --subscription "$SUBSCRIPTION" --output tsv 2>/dev/null); then
    why=$(az account show --subscription "$SUBSCRIPTION" 2>&1 >/dev/null) || true
    case $why in
      *'az login'*) fail 'not logged in to Azure: az login' ;;
      *) fail "no subscription $SUBSCRIPTION for you (SUBSCRIPTION in infra/azure/azure.env): az account list --output table" ;;
    esac
  fi
  note "subscription ${said%%$'\n'*} ($SUBSCRIPTION), as ${said##*$'\n'}"
}

look() { # what is there: the group (true or false), its resources (type, tab, name), kubectl's context of the cluster's name
  group_exists=$(ask group exists --name "$RESOURCE_GROUP")
  resources=''
  [ "$group_exists" = false ] || resources=$(ask resource list --resource-group "$RESOURCE_GROUP" --query '[].[type, name]')
  # A template, because jsonpath fails on a configuration without contexts.
  context_user=$(kubectl config view --output "go-template={{range .contexts}}{{if eq .name \"$CLUSTER\"}}{{.context.user}}{{end}}{{end}}")
  own_user=clusterUser_${RESOURCE_GROUP}_$CLUSTER # as get-credentials names it
}
own_context() { [ "$context_user" = "$own_user" ]; }

has() { # type name; Azure's names know no upper and lower case
  grep -qixF "$1"$'\t'"$2" <<<"$resources"
}

step() { # command...: one more, quoted for a shell
  local word quoted=''
  for word in "$@"; do
    case $word in *[!A-Za-z0-9_./:=@,+-]*) word="'$word'" ;; esac # none has a quote: settings are checked
    quoted="$quoted $word"
  done
  steps+=("${quoted# }")
}
az_step() { step az "$@" --subscription "$SUBSCRIPTION" --output none; }

carry_out() { # [word]: shows the steps, waits for the word to be typed, runs them
  local step typed=''
  note 'this will run:'
  printf '%s\n' "${steps[@]}"
  [ -z "$dry" ] || exit 0
  if [ -n "${1:-}" ] && [ -z "$yes" ]; then
    printf 'type %s to run this: ' "$1"
    read -r typed || echo
    [ "$typed" = "$1" ] || fail 'not confirmed: nothing was done'
  fi
  for step in "${steps[@]}"; do
    printf '\n$ %s\n' "$step"
    eval "$step" || fail "this failed: $step"
  done
}
