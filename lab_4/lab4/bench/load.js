// A steady load from k6 (https://grafana.com/docs/k6): so many requests a second, whether the service keeps up or not.
//   k6 run --env URL=http://127.0.0.1:8000 bench/load.js
// RATE (100) requests a second for SECONDS (60), of ROWS (10) block groups each: PERCENT_NEW (10) of them were never sent
// before, and are misses; the others are some of the same KNOWN (1000), and hits once each of them was computed.
// It ends with 99 when a request is not answered rightly or cannot be sent in time. `--out csv=FILE`, with
// K6_CSV_TIME_FORMAT=unix_milli in the environment, has when: a line for each sample of `failed`, `cache_hits`, ...
import http from 'k6/http';
import { Counter, Rate } from 'k6/metrics';

const url = `${__ENV.URL || 'http://127.0.0.1:8000'}/predict`;
const setting = (name, otherwise) => Number(__ENV[name] || otherwise);
const rate = setting('RATE', 100);
const rows = setting('ROWS', 10);
const known = setting('KNOWN', 1000);
const share = setting('PERCENT_NEW', 10) / 100;

const failed = new Rate('failed');
const hits = new Counter('cache_hits');
const misses = new Counter('cache_misses');

export const options = {
  scenarios: {
    steady: {
      executor: 'constant-arrival-rate',
      rate,
      duration: `${setting('SECONDS', 60)}s`,
      // As many clients as there are requests in two seconds: each keeps its connection and uses it every two seconds, so
      // none is idle for the 5 s after which the server closes it.
      preAllocatedVUs: 2 * rate,
    },
  },
  thresholds: {
    failed: ['rate==0'],
    dropped_iterations: ['count==0'], // what could not be sent in time: then this was not the load it should have been
  },
  summaryTrendStats: ['med', 'p(99)', 'max'],
};

function blockGroup() {
  const income = Math.random() < share ? Math.random() : Math.floor(Math.random() * known) / known;
  return {
    MedInc: 1 + 10 * income, HouseAge: 41, AveRooms: 7, AveBedrms: 1, Population: 322, AveOccup: 2.5,
    Latitude: 37.88, Longitude: -122.23,
  };
}

// The number of predictions, or 0 for what is no right answer.
function predictions(answer) {
  try {
    return answer.status === 200 ? answer.json('predictions').filter(Number.isFinite).length : 0;
  } catch {
    return 0;
  }
}

export default function () {
  const answer = http.post(url, JSON.stringify({ data: Array.from({ length: rows }, blockGroup) }), { timeout: '10s' });
  const right = predictions(answer) === rows;
  failed.add(!right);
  if (!right) console.error(`${new Date().toISOString()} ${answer.status} ${answer.error || answer.body}`);
  hits.add(Number(answer.headers['X-Cache-Hits'] || 0));
  misses.add(Number(answer.headers['X-Cache-Misses'] || 0));
}
