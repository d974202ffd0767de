#!/usr/bin/env bash
# Builds this commit's image for the cluster, pushes it to the registry of infra/azure/azure.env, and writes the overlay that
# deploys it by its digest: ./build-push.sh [--dry-run], then kubectl apply -k .k8s/overlays/release. Git ignores that overlay.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source-path=SCRIPTDIR source=infra/azure/azure.sh
. infra/azure/azure.sh

words './build-push.sh [--dry-run]' "$@"
need_az
need git https://git-scm.com/downloads
settings

commit=$(git rev-parse --short HEAD) || fail 'git does not name the commit, which names the image' # git prints why
changes=$(git status --porcelain -- .) # ignored files do not count
[ -z "$changes" ] || fail "there are changes in ${PWD##*/} that no commit has, and the image is named after one: git status"
overlays=.k8s/overlays
[ -d "$overlays" ] || overlays=../$overlays
[ -f "$overlays/prod/kustomization.yaml" ] || fail 'no .k8s/overlays/prod, which the release is made of, here or one folder up'
subscription

server=$(ask acr show --name "$REGISTRY" --query loginServer)
[[ $server =~ ^[a-z0-9.-]+$ ]] || fail "the registry $REGISTRY gave no address: '$server'"
image=$server/${PWD##*/}

# The nodes are x86, whatever this machine is.
if docker info >/dev/null 2>&1; then
  az_step acr login --name "$REGISTRY"
  step docker build --platform linux/amd64 --tag "$image:$commit" .
  step docker push "$image:$commit"
else
  note 'Docker is not installed or not running: the registry builds'
  az_step acr build --registry "$REGISTRY" --platform linux/amd64 --image "${PWD##*/}:$commit" .
fi
note "and then write $overlays/release/kustomization.yaml"
carry_out ''

# Of the registry, not of this machine: what the nodes will pull.
digest=$(ask acr repository show --name "$REGISTRY" --image "${PWD##*/}:$commit" --query digest)
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || fail "the registry gave no digest of $image:$commit: '$digest'"
mkdir -p "$overlays/release"
cat >"$overlays/release/kustomization.yaml" <<YAML
# ${PWD##*/} at commit $commit, written by build-push.sh; .k8s/README.md says what it is made of.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: $NAMESPACE
resources:
  - ../prod
components:
  - ../../components/managed-prometheus
images:
  - name: registry.example.com/${PWD##*/}
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
note "to deploy it: kubectl --context $CLUSTER apply --kustomize $overlays/release"
