#!/usr/bin/env bash
# Starts compose.yaml, sends load, and checks that Prometheus and Grafana return the data. It needs Docker.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.."
export COMPOSE_PROJECT_NAME=lab5-test
grafana=http://127.0.0.1:3000

clean_up() {
  status=$?
  [ "$status" = 0 ] || docker compose logs --tail 50
  docker compose down --volumes
  exit "$status"
}
get() { curl --silent --show-error --fail --retry 60 --retry-all-errors --retry-delay 1 --max-time 30 "$@"; }

./install.sh local
trap clean_up EXIT
docker compose up --build --detach
for url in http://127.0.0.1:8000/health http://127.0.0.1:9090/-/ready $grafana/api/health; do get "$url"; done
.venv/bin/k6 run --quiet --no-thresholds --no-usage-report --env RATE=20 --env DURATION=30s load.js
.venv/bin/python -m dashboards.live http://127.0.0.1:9090
get $grafana/api/dashboards/uid/ml-systems-lab-4 | grep --quiet '"title":"lab_4: housing service"'
query='{"refId": "A", "datasource": {"uid": "prometheus"}, "expr": "http_requests_total{handler=\"/predict\"}", "instant": true}'
get --header 'Content-Type: application/json' --data "{\"from\": \"now-5m\", \"to\": \"now\", \"queries\": [$query]}" \
  $grafana/api/ds/query | grep --quiet '"status":"200"'
echo 'Prometheus and Grafana return the data of the service'
