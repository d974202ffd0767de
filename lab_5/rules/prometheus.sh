#!/usr/bin/env bash
# Runs Prometheus with these rules on your machine until Ctrl-C: ./prometheus.sh [HOST:PORT...]
# It scrapes lab_4's service at 127.0.0.1:8000, or the given addresses. (PROMETHEUS_PORT=9091, INTERVAL=5s)
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")"
command -v prometheus >/dev/null || { echo 'Prometheus is not installed: see step 2 of lab_4/README.md' >&2; exit 1; }
[ "$#" -gt 0 ] || set -- 127.0.0.1:8000
printf -v targets '"%s",' "$@"
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cat >"$folder/prometheus.yml" <<YAML
global: {scrape_interval: ${INTERVAL:-5s}, evaluation_interval: ${INTERVAL:-5s}}
rule_files: ["$PWD/recording.yaml", "$PWD/alerts.yaml"]
scrape_configs:
  - job_name: housing # the label job, as lab_4's PodMonitor sets it
    static_configs: [{targets: [${targets%,}], labels: {namespace: local}}]
YAML
prometheus --config.file "$folder/prometheus.yml" --storage.tsdb.path "$folder/data" \
  --web.listen-address "127.0.0.1:${PROMETHEUS_PORT:-9091}" --log.level warn &
wait $! # a signal ends `wait` at once
