#!/usr/bin/env bash
# Prints the rules as a PrometheusRule, the object that the Prometheus operator reads:
# ./prometheus-rule.sh | kubectl --context minikube --namespace w255 apply --filename -
# Kustomize cannot include a file that is not an object, and promtool cannot read an object.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")"
cat <<'YAML'
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: api
  labels:
    app.kubernetes.io/name: api
    app.kubernetes.io/instance: housing
    app.kubernetes.io/component: inference
    app.kubernetes.io/part-of: ml-systems
spec:
  groups:
YAML
sed -e '/^groups:$/d' -e 's/^/  /' recording.yaml alerts.yaml
