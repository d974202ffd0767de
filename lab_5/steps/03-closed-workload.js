// Step 3: a closed workload. Each virtual user sends its next request after the response to the last one.
import http from 'k6/http';
import { check } from 'k6';

const { URL = 'http://127.0.0.1:8000' } = __ENV;
const place = { Latitude: 37.88, Longitude: -122.23, HouseAge: 41, Population: 322 };
const example = { ...place, MedInc: 8.3252, AveRooms: 6.984, AveBedrms: 1.024, AveOccup: 2.556 }; // a block group
const predict = (blockGroups) => http.post(`${URL}/predict`, JSON.stringify({ data: blockGroups }));

export const options = {
  vus: 32,
  duration: '10s',
};

export default function () {
  const response = predict([example]);
  check(response, { 'one prediction': (r) => r.status === 200 && r.json('predictions.#') === 1 }); // #: the length
}
