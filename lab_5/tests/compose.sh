#!/usr/bin/env bash
# Starts compose.yaml, sends load, and checks that Prometheus and Grafana return the data. It needs Docker.
set -euo pipefail
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.."
prometheus=http://127.0.0.1:9090 grafana=http://127.0.0.1:3000

clean_up() {
  status=$?
  [ "$status" = 0 ] || docker compose logs --tail 50
  docker compose down --volumes
  exit "$status"
}
wait_for() { # URL: until it returns a status below 400
  for _ in {1..60}; do
    if curl --silent --fail --output /dev/null --max-time 5 "$1"; then return; fi
    sleep 1
  done
  echo "$1 did not respond within 60 s" >&2
  return 1
}
expect() { # text, arguments of curl: the response contains the text
  response=$(curl --silent --show-error --max-time 30 "${@:2}")
  case $response in *"$1"*) ;; *) echo "expected $1 in the response, not $response" >&2; return 1 ;; esac
}

./install.sh local
trap clean_up EXIT
docker compose up --build --detach
for url in http://127.0.0.1:8000/health $prometheus/-/ready $grafana/api/health; do wait_for "$url"; done
.venv/bin/k6 run --quiet --no-thresholds --env RATE=20 --env DURATION=30s load.js
.venv/bin/python -m dashboards.live $prometheus
expect '"title":"lab_4: housing service"' $grafana/api/dashboards/uid/ml-systems-lab-4
query='{"refId": "A", "datasource": {"uid": "prometheus"}, "expr": "http_requests_total{handler=\"/predict\"}", "instant": true}'
expect '"status":"200"' --header 'Content-Type: application/json' \
  --data "{\"from\": \"now-5m\", \"to\": \"now\", \"queries\": [$query]}" $grafana/api/ds/query
echo 'Prometheus and Grafana return the data of the service'
