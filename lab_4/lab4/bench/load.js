// A constant arrival rate with k6 (https://grafana.com/docs/k6): the rate does not fall if the service is slow.
//   k6 run --env URL=http://127.0.0.1:8000 bench/load.js
// RATE (100) requests/s for SECONDS (60), each with ROWS (10) block groups. PERCENT_NEW (10) % of the block groups are new
// and therefore misses. The others are drawn from KNOWN (1000) block groups: hits, once each of them is in the cache.
// k6 exits with 99 if a request fails or cannot be sent in time. `--out csv=FILE`, with K6_CSV_TIME_FORMAT=unix_milli in
// the environment, writes one line per sample of each metric, with its time.
import http from 'k6/http';
import { Counter, Rate } from 'k6/metrics';

const url = `${__ENV.URL || 'http://127.0.0.1:8000'}/predict`;
const setting = (name, defaultValue) => Number(__ENV[name] || defaultValue);
const rate = setting('RATE', 100);
const rows = setting('ROWS', 10);
const known = setting('KNOWN', 1000);
const shareOfNew = setting('PERCENT_NEW', 10) / 100;

const failed = new Rate('failed');
const hits = new Counter('cache_hits');
const misses = new Counter('cache_misses');

export const options = {
  scenarios: {
    steady: {
      executor: 'constant-arrival-rate',
      rate,
      duration: `${setting('SECONDS', 60)}s`,
      // Each virtual user keeps one connection and sends a request every 2 s. Idle connections are kept for 75 s, so the
      // server closes one only when its pod shuts down.
      preAllocatedVUs: 2 * rate,
    },
  },
  thresholds: {
    failed: ['rate==0'],
    dropped_iterations: ['count==0'], // a dropped request means that the load was lower than RATE
  },
  summaryTrendStats: ['med', 'p(99)', 'max'],
};

function blockGroup() {
  const income = Math.random() < shareOfNew ? Math.random() : Math.floor(Math.random() * known) / known;
  return {
    MedInc: 1 + 10 * income, HouseAge: 41, AveRooms: 7, AveBedrms: 1, Population: 322, AveOccup: 2.5,
    Latitude: 37.88, Longitude: -122.23,
  };
}

// The number of predictions; 0 if the response is not valid.
function predictions(response) {
  try {
    return response.status === 200 ? response.json('predictions').filter(Number.isFinite).length : 0;
  } catch {
    return 0;
  }
}

export default function () {
  const body = JSON.stringify({ data: Array.from({ length: rows }, blockGroup) });
  const response = http.post(url, body, { timeout: '10s' });
  const valid = predictions(response) === rows;
  failed.add(!valid);
  if (!valid) console.error(`${new Date().toISOString()} ${response.status} ${response.error || response.body}`);
  hits.add(Number(response.headers['X-Cache-Hits'] || 0));
  misses.add(Number(response.headers['X-Cache-Misses'] || 0));
}
