// Step 5: an open workload. With RATE, requests arrive at this rate per second, whether responses come or not.
import http from 'k6/http';
import { check } from 'k6';

const { URL = 'http://127.0.0.1:8000', RATE, DURATION = '10s' } = __ENV;
const { VUS = RATE ? 2 * RATE : 32 } = __ENV; // open: the maximum of requests in flight
const place = { Latitude: 37.88, Longitude: -122.23, HouseAge: 41, Population: 322 };
const example = { ...place, MedInc: 8.3252, AveRooms: 6.984, AveBedrms: 1.024, AveOccup: 2.556 }; // a block group
const predict = (blockGroups) => http.post(`${URL}/predict`, JSON.stringify({ data: blockGroups }));
const [rate, vus, duration] = [Number(RATE), Number(VUS), DURATION];
const closed = { executor: 'constant-vus', vus, duration };
const open = { executor: 'constant-arrival-rate', rate, preAllocatedVUs: vus, duration };

export const options = {
  scenarios: { load: RATE ? open : closed },
  thresholds: {
    checks: ['rate==1'],
    http_req_duration: ['p(99)<500'], // milliseconds, as in slo.md
    http_reqs: ['count>=100'], // with fewer requests, p99 is one single request
    dropped_iterations: ['count==0'], // requests that k6 did not send, because VUS others were in flight
  },
  summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'max'],
};

export default function () {
  const response = predict([example]);
  check(response, { 'one prediction': (r) => r.status === 200 && r.json('predictions.#') === 1 }); // #: the length
}
