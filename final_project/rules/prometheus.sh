#!/usr/bin/env bash
# Runs Prometheus with these rules on your machine, for the service on minikube: http://127.0.0.1:9091, until Ctrl-C.
# It scrapes each pod through the API server, because the addresses of pods work only inside the cluster.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")"
for tool in kubectl prometheus; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed: see lab_4/README.md" >&2; exit 1; }
done
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cat >"$folder/prometheus.yml" <<YAML
global: {scrape_interval: 15s, evaluation_interval: 15s}
rule_files: ["$PWD/recording.yaml", "$PWD/alerts.yaml"]
scrape_configs:
  - job_name: sentiment # the label job, as the PodMonitor sets it
    file_sd_configs: [{files: [targets.yaml], refresh_interval: 5s}]
YAML
template='{{range .items}}
- targets: ["127.0.0.1:8001"]
  labels:
    namespace: w255
    pod: {{.metadata.name}}
    instance: {{.metadata.name}}
    __metrics_path__: /api/v1/namespaces/w255/pods/{{.metadata.name}}:8000/proxy/metrics
{{end}}'
kubectl --context minikube proxy --port 8001 >"$folder/proxy.log" & proxy=$!
prometheus --config.file "$folder/prometheus.yml" --storage.tsdb.path "$folder/data" \
  --web.listen-address 127.0.0.1:9091 --log.level warn & prometheus=$!
while kill -0 $proxy && kill -0 $prometheus; do # until one of them stops
  kubectl --context minikube --namespace w255 get pods --selector app.kubernetes.io/name=api \
    --output go-template="$template" >"$folder/targets.new" && mv "$folder/targets.new" "$folder/targets.yaml"
  sleep 5 & wait $! # a signal ends `wait` at once
done
echo 'kubectl proxy or prometheus stopped' >&2
exit 1
