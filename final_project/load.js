// Load on POST /predict with k6 1.x or 2.x (https://grafana.com/docs/k6). Each request has one text.
//   k6 run load.js                                                     closed workload: 32 virtual users (VUs) for 30 s
//   k6 run -e RATE=200 -e DURATION=60s load.js                         open workload: 200 requests/s for 60 s
//   k6 run -e RATE=20,200,20 -e DURATION=30s,60s,30s load.js           open workload in steps
//   URL        http://127.0.0.1:8000
//   VUS        Closed: each VU sends its next request after a response. Open: the maximum of requests in flight, default
//              2 x RATE. k6 counts requests above it as dropped_iterations. A VU keeps one connection.
//   HIT_RATIO  0: the share of requests for one of 100 known texts. All other texts are new, and therefore misses.
//   TEXTS      a file with one text per line; without it, sentences of 8 to 20 words
import http from 'k6/http';
import exec from 'k6/execution';
import { SharedArray } from 'k6/data';

const setting = (name, defaultValue) => __ENV[name] || String(defaultValue);
const url = `${setting('URL', 'http://127.0.0.1:8000')}/predict`;
const hitRatio = Number(setting('HIT_RATIO', 0));
const rates = setting('RATE', '').split(',').filter(Boolean).map(Number);
const durations = setting('DURATION', '30s').split(',');
const closedWorkload = { executor: 'constant-vus', vus: Number(setting('VUS', 32)), duration: durations[0] };
const openWorkload = {
  executor: 'ramping-arrival-rate',
  startRate: rates[0],
  stages: rates.flatMap((target, step) => [{ duration: '0s', target }, { duration: durations[step], target }]),
  preAllocatedVUs: Number(setting('VUS', 2 * Math.max(...rates))),
};

export const options = {
  scenarios: { load: rates.length ? openWorkload : closedWorkload },
  discardResponseBodies: true,
  systemTags: ['scenario', 'status', 'expected_response'], // each tag costs CPU time of k6
  thresholds: {
    http_req_failed: ['rate<0.01'],
    'http_req_duration{status:200}': ['p(99)<1000'], // milliseconds
    dropped_iterations: ['count==0'],
  },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
};

const texts = new SharedArray('texts', () => {
  if (__ENV.TEXTS) return open(__ENV.TEXTS).split('\n').filter(Boolean);
  const words = 'this film is not quite as good or as bad as its first scene and yet worth the time it takes'.split(' ');
  return words.slice(7).map((_, index) => words.slice(0, index + 8).join(' '));
});

// Numbers below 300 are one token each, so a new text has about as many tokens as the original. It has other tokens, because
// single-flight would compute equal texts once.
function newText(text, number) {
  return [number % 300, Math.floor(number / 300) % 300, ...text.split(' ').slice(2)].join(' ');
}

// The number of hits among the first n requests: counted, not drawn, so the hit ratio is exact.
const hitsAmong = (n) => Math.floor(n * hitRatio + 1e-9);

export function setup() {
  return Math.floor(Date.now() / 10); // the next run has other new texts
}

export default function (firstNumber) {
  const n = exec.scenario.iterationInTest;
  const isHit = hitsAmong(n + 1) > hitsAmong(n);
  const text = isHit
    ? texts[hitsAmong(n) % Math.min(100, texts.length)]
    : newText(texts[n % texts.length], firstNumber + Math.floor(n / texts.length));
  const body = JSON.stringify({ text: [text] });
  http.post(url, body, { headers: { 'Content-Type': 'application/json' }, timeout: '30s' });
}
