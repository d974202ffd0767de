// Step 1: one virtual user sends one request.
import http from 'k6/http';

const { URL = 'http://127.0.0.1:8000' } = __ENV;
const place = { Latitude: 37.88, Longitude: -122.23, HouseAge: 41, Population: 322 };
const example = { ...place, MedInc: 8.3252, AveRooms: 6.984, AveBedrms: 1.024, AveOccup: 2.556 }; // a block group
const predict = (blockGroups) => http.post(`${URL}/predict`, JSON.stringify({ data: blockGroups }));

export default function () {
  const response = predict([example]);
  console.log(response.status, response.body);
}
