// Step 4: thresholds are the pass criteria of a run. If one fails, the exit status of k6 is 99.
import http from 'k6/http';
import { check } from 'k6';

const { URL = 'http://127.0.0.1:8000' } = __ENV;
const place = { Latitude: 37.88, Longitude: -122.23, HouseAge: 41, Population: 322 };
const example = { ...place, MedInc: 8.3252, AveRooms: 6.984, AveBedrms: 1.024, AveOccup: 2.556 }; // a block group
const predict = (blockGroups) => http.post(`${URL}/predict`, JSON.stringify({ data: blockGroups }));

export const options = {
  vus: 32,
  duration: '10s',
  thresholds: {
    checks: ['rate==1'],
    http_req_duration: ['p(99)<500'], // milliseconds, as in slo.md
    http_reqs: ['count>=100'], // with fewer requests, p99 is one single request
  },
  summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'max'],
};

export default function () {
  const response = predict([example]);
  check(response, { 'one prediction': (r) => r.status === 200 && r.json('predictions.#') === 1 }); // #: the length
}
