// The steady load of test_cluster_final.py: RATE (40) requests a second for SECONDS (60) to URL, of one text each. No text is
// sent twice, so all are computed. What it measures and how it ends is as in lab_4's bench/load.js.
import http from 'k6/http';
import exec from 'k6/execution';
import { Rate } from 'k6/metrics';

const url = `${__ENV.URL}/predict`;
const rate = Number(__ENV.RATE || 40);
const words = 'a film that is never quite as good or as bad as its first scene and yet worth the time it takes'.split(' ');

const failed = new Rate('failed');

export const options = {
  scenarios: {
    steady: {
      executor: 'constant-arrival-rate',
      rate,
      duration: `${__ENV.SECONDS || 60}s`,
      // Each client uses its connection every two seconds: the server closes an idle one after five.
      preAllocatedVUs: 2 * rate,
    },
  },
  thresholds: { failed: ['rate==0'], dropped_iterations: ['count==0'] },
};

// The labels of the one text, or nothing for what is no right answer.
function labels(answer) {
  try {
    return answer.status === 200 ? answer.json('predictions').map((text) => text.map((each) => each.label).join()).join() : '';
  } catch {
    return '';
  }
}

export function setup() {
  return Date.now(); // what an earlier run sent may be in the cache
}

export default function (run) {
  const number = exec.scenario.iterationInTest;
  const text = [`take ${number} of ${run}:`, ...words.slice(0, 1 + (number % words.length))].join(' ');
  const answer = http.post(url, JSON.stringify({ text: [text] }), { timeout: '10s' });
  const right = labels(answer) === 'NEGATIVE,POSITIVE';
  failed.add(!right);
  if (!right) console.error(`${new Date().toISOString()} ${answer.status} ${answer.error || answer.body}`);
}
