// A load from k6 (https://grafana.com/docs/k6), 1.x or 2.x:
//   k6 run --env URL=http://127.0.0.1:8000 --env CACHE_RATE=0.95 load.js
// CACHE_RATE (0.95) is the share of requests for an item that was asked for before, out of KNOWN (100); the others are valid
// and were never asked for. SHAPE `closed`, the default, is up to USERS (100) users who ask again as soon as they have their
// answer, DURATION (7m) with a seventh to come and a seventh to go. `open` is RATE (100) requests a second for DURATION (5m),
// whether answers come or not; at most WAITING (twice RATE) may be on their way, and who comes then is dropped, and counted.
// `step` is as open, with a tenth of RATE but for three of the eighths of DURATION (8m), after the first. CONNECTIONS `new` is
// one for each request, and not for each user (`kept`): what spreads connections over pods then spreads requests.
// INVALID_RATE (0) is the share of the other items that the service has to refuse, for they say nothing. P95 (500) and
// P99 (1000) are thresholds, milliseconds. It ends with 99 when one is not held.
import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';
import { Counter } from 'k6/metrics';

function number(name, otherwise, least, most, whole) {
  const value = __ENV[name] ? Number(__ENV[name]) : otherwise;
  if (!(value >= least && value <= most) || (whole && !Number.isInteger(value))) {
    throw `${name} is a ${whole ? 'whole ' : ''}number from ${least} to ${most}, not '${__ENV[name]}'`;
  }
  return value;
}

function oneOf(name, words) {
  const value = __ENV[name] || words[0];
  if (!words.includes(value)) throw `${name} is ${words.join(' or ')}, not '${value}'`;
  return value;
}

function seconds(name, otherwise) {
  const [, count, unit] = (__ENV[name] || otherwise).match(/^([1-9]\d{0,5})([smh])$/) || [];
  if (!count) throw `${name} is a time such as 30s, 5m or 1h, not '${__ENV[name]}'`;
  return Number(count) * { s: 1, m: 60, h: 3600 }[unit];
}

function address(name, otherwise) {
  const value = __ENV[name] || otherwise;
  if (!/^https?:\/\/[^\s/]+$/.test(value)) throw `${name} is http://host[:port] or https://host[:port], not '${value}'`;
  return value;
}

const url = `${address('URL', 'http://127.0.0.1:8000')}/predict`;
const shape = oneOf('SHAPE', ['closed', 'open', 'step']);
const cacheRate = number('CACHE_RATE', 0.95, 0, 1);
const invalidRate = number('INVALID_RATE', 0, 0, 1);
const known = number('KNOWN', 100, 1, 1000, true);
const users = number('USERS', 100, 1, 10000, true);
const rate = number('RATE', 100, 1, 100000, true);
const waiting = number('WAITING', 2 * rate, 1, 200000, true);
const duration = seconds('DURATION', { closed: '7m', open: '5m', step: '8m' }[shape]);
const ramp = Math.max(1, Math.round(duration / 7));

const closed = {
  executor: 'ramping-vus',
  stages: [
    { duration: `${ramp}s`, target: users },
    { duration: `${Math.max(1, duration - 2 * ramp)}s`, target: users },
    { duration: `${ramp}s`, target: 0 },
  ],
};
const open = { executor: 'constant-arrival-rate', rate, duration: `${duration}s`, preAllocatedVUs: waiting };
const few = Math.ceil(rate / 10);
const eighths = (count, target) => [{ duration: '0s', target }, { duration: `${(count * duration) / 8}s`, target }];
const step = {
  executor: 'ramping-arrival-rate',
  startRate: few,
  stages: [...eighths(1, few), ...eighths(3, rate), ...eighths(4, few)],
  preAllocatedVUs: waiting,
};

export const options = {
  scenarios: { load: { closed, open, step }[shape] },
  noConnectionReuse: oneOf('CONNECTIONS', ['kept', 'new']) === 'new',
  thresholds: {
    checks: ['rate==1'],
    'http_req_failed{scenario:load}': ['rate==0'],
    'http_req_duration{scenario:load}': [`p(95)<${number('P95', 500, 1, 600000)}`, `p(99)<${number('P99', 1000, 1, 600000)}`],
    dropped_iterations: ['count==0'], // what could not be sent in time: then this was not the load it should have been
    'http_reqs{scenario:load}': [`count>=${duration}`], // a run without traffic has no slow requests, and no failed ones
  },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
};

const sent = { cached: new Counter('sent_cached'), fresh: new Counter('sent_new'), invalid: new Counter('sent_invalid') };
const hits = new Counter('cache_hits');
const misses = new Counter('cache_misses');
const answers = {};
for (const kind of ['200', '422', '429', '5xx', 'none', 'other']) answers[kind] = new Counter(`answers_${kind}`);

function kindOf(status) {
  if (status === 0) return 'none';
  if (status >= 500) return '5xx';
  return String(status) in answers ? String(status) : 'other';
}

// Of the first n, how many belong to the share: counted, not drawn, so that a run has what was asked for, to one request.
const among = (n, share) => Math.floor(n * share + 1e-9);

// What item of which kind the n-th request asks for. Run and n are in the item, so no other has it.
function itemOf(n, run) {
  const cached = among(n + 1, cacheRate);
  if (cached > among(n, cacheRate)) return ['cached', knownItem(cached % known)];
  const other = n - cached;
  const invalid = among(other + 1, invalidRate) > among(other, invalidRate);
  return invalid ? ['invalid', invalidItem(other, run)] : ['fresh', newItem(other, run)];
}

const words = 'a film that is never quite as good or as bad as its first scene and yet worth the time it takes'.split(' ');
const text = (n) => words.slice(0, 1 + (n % words.length)).join(' ');
const knownItem = (k) => `known ${k}: ${text(k)}`;
const newItem = (n, run) => `take ${n} of ${run}: ${text(n)}`;
const invalidItem = () => ''; // nothing to be read

const ask = (items) => http.post(url, JSON.stringify({ text: items }), { timeout: '30s' });

// The number of predictions, or 0 for what is no right answer.
function predictions(answer) {
  try {
    return answer.status === 200 ? answer.json('predictions').filter((scores) => scores.length === 2).length : 0;
  } catch {
    return 0;
  }
}

export function setup() {
  const answer = ask(Array.from({ length: known }, (_, k) => knownItem(k))); // from now on they are known
  if (predictions(answer) !== known) throw `${url} does not predict: ${answer.error || answer.status}`;
  return Date.now();
}

export default function (run) {
  const [kind, item] = itemOf(exec.scenario.iterationInTest, run);
  const answer = ask([item]);
  sent[kind].add(1);
  answers[kindOf(answer.status)].add(1);
  hits.add(Number(answer.headers['X-Cache-Hits'] || 0));
  misses.add(Number(answer.headers['X-Cache-Misses'] || 0));
  check(answer, { 'one prediction': (given) => predictions(given) === 1 });
}
