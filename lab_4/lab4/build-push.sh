#!/usr/bin/env bash
# Builds this commit's image, pushes it to the registry, and writes the Kustomize overlay that deploys it by its digest:
# ./build-push.sh [--dry-run]. Git ignores the overlay. Next: ../run.sh aks
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source-path=SCRIPTDIR source=infra/azure/azure.sh
. infra/azure/azure.sh

parse_args './build-push.sh [--dry-run]' "$@"
require_az
require_command git https://git-scm.com/downloads
load_settings

name=${PWD##*/}
commit=$(git rev-parse --short=12 HEAD) || fail 'no image tag: git found no commit' # git prints the reason
changes=$(git status --porcelain --untracked-files=all -- .) # without ignored files
[ -z "$changes" ] || fail "$name has uncommitted changes; commit them first, because the image tag is the commit"
overlays=.k8s/overlays
[ -d "$overlays" ] || overlays=../$overlays # the final project has .k8s one folder up
[ -f "$overlays/prod/kustomization.yaml" ] || fail "$overlays/prod/kustomization.yaml is missing"
show_subscription

server=$(az_query acr show --name "$REGISTRY" --query loginServer)
[[ $server =~ ^[a-z0-9.-]+$ ]] || fail "the registry $REGISTRY returned no address: '$server'"
image=$server/$name
query_digest=(acr repository show --name "$REGISTRY" --image "$name:$commit" --query digest)

note "this script writes $overlays/release/kustomization.yaml"
# One commit has one image: a rollback deploys the image that ran before. If this query fails, the image is built.
if az "${query_digest[@]}" --subscription "$SUBSCRIPTION" </dev/null >/dev/null 2>&1; then
  note "the registry already has $image:$commit: nothing to build"
  [ -z "$dry_run" ] || exit 0
else
  # linux/amd64 is the platform of the nodes; that of this machine may differ.
  if docker info >/dev/null 2>&1; then
    add_az acr login --name "$REGISTRY"
    add docker build --platform linux/amd64 --tag "$image:$commit" .
    add docker push "$image:$commit"
  else
    note 'Docker is not installed or not running: the registry builds the image'
    add_az acr build --registry "$REGISTRY" --platform linux/amd64 --image "$name:$commit" .
  fi
  run_plan ''
fi

# The nodes pull by the registry's digest; that of the local image may differ.
digest=$(az_query "${query_digest[@]}")
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || fail "the registry returned no digest of $image:$commit: '$digest'"
mkdir -p "$overlays/release"
cat >"$overlays/release/kustomization.yaml" <<YAML
# $name at commit $commit, written by build-push.sh. .k8s/README.md explains the parts.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: $NAMESPACE
resources:
  - ../prod
components:
  - ../../components/managed-prometheus
images:
  - name: registry.example.com/$name
    newName: $image
    digest: $digest
labels:
  - pairs:
      app.kubernetes.io/version: "$commit"
    includeTemplates: true
patches:
  - target: {group: networking.istio.io, kind: Gateway, name: api}
    patch: |
      - {op: replace, path: /spec/servers/0/hosts/0, value: $NAMESPACE.$DOMAIN}
  - target: {group: networking.istio.io, kind: VirtualService, name: api}
    patch: |
      - {op: replace, path: /spec/hosts/0, value: $NAMESPACE.$DOMAIN}
YAML
printf '\n%s@%s\n' "$image" "$digest"
note 'next: ../run.sh aks'
