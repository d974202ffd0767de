// Step 9, the last one: invalid block groups on purpose, and an error for a wrong setting. README.md has all settings.
// Closed workload: k6 run --env VUS=32 load.js. Open workload: k6 run --env RATE=200 load.js.
import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';
import { Counter } from 'k6/metrics';

const { URL = 'http://127.0.0.1:8000', RATE, DURATION = '10s', CACHE_RATE = 0.5, INVALID_RATE = 0 } = __ENV;
const { VUS = RATE ? 2 * RATE : 32 } = __ENV; // open: the maximum of requests in flight
const place = { Latitude: 37.88, Longitude: -122.23, HouseAge: 41, Population: 322 };
const example = { ...place, MedInc: 8.3252, AveRooms: 6.984, AveBedrms: 1.024, AveOccup: 2.556 }; // a block group
const known = (n) => ({ ...example, MedInc: 1 + (n % 100) / 100 }); // one of 100 block groups
const unknown = (n) => ({ ...known(n), Population: 1 + n, AveOccup: 2 + Date.now() / 1e13 }); // new in every request
const isAmong = (n, share) => Math.floor((n + 1) * share + 1e-9) > Math.floor(n * share + 1e-9); // counted, not random
const predict = (blockGroups) => http.post(`${URL}/predict`, JSON.stringify({ data: blockGroups }));
const [rate, vus, duration] = [Number(RATE), Number(VUS), DURATION];
const closed = { executor: 'constant-vus', vus, duration };
const open = { executor: 'constant-arrival-rate', rate, preAllocatedVUs: vus, duration };
const statuses = ['200', '422', '429', '5xx', 'none', 'other'];
const responses = Object.fromEntries(statuses.map((status) => [status, new Counter(`responses_${status}`)]));
const lookups = { Hits: new Counter('cache_hits'), Misses: new Counter('cache_misses') };
for (const share of [CACHE_RATE, INVALID_RATE]) {
  if (!(share >= 0 && share <= 1)) throw new Error(`CACHE_RATE and INVALID_RATE must be from 0 to 1, not ${share}`);
}

export const options = {
  scenarios: { load: RATE ? open : closed },
  thresholds: {
    checks: ['rate==1'],
    'http_req_duration{phase:steady,status:200}': ['p(99)<500'], // milliseconds, as in slo.md
    'http_reqs{phase:steady,status:200}': ['count>=100'], // with fewer requests, p99 is one single request
    dropped_iterations: ['count==0'], // requests that k6 did not send, because VUS others were in flight
  },
  summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'max'],
};

export function setup() {
  const response = predict(Array.from({ length: 100 }, (_, n) => known(n))); // from now on they are in the cache
  if (response.status !== 200) throw new Error(`${URL}/predict does not predict: ${response.error || response.body}`);
}

export default function () {
  const n = exec.scenario.iterationInTest; // the number of this request
  exec.vu.metrics.tags.phase = exec.scenario.progress < 0.2 ? 'warm-up' : 'steady'; // by the time of sending
  const valid = n - Math.floor(n * INVALID_RATE + 1e-9); // the number of valid requests before this one
  const item = isAmong(valid, CACHE_RATE) ? known(n) : unknown(n);
  if (isAmong(n, INVALID_RATE)) item.Population = 0; // the service returns 422
  const response = predict([item]);
  check(response, { 'one prediction': (r) => r.status === 200 && r.json('predictions.#') === 1 }); // #: the length
  const status = response.status >= 500 ? '5xx' : response.status || 'none'; // k6 writes 0 for no response
  (responses[status] || responses.other).add(1);
  for (const name in lookups) lookups[name].add(Number(response.headers[`X-Cache-${name}`] || 0));
}
