-- wrk: $ROWS block groups a request; $NEW=1: each of them is new, else 20 requests come again and again
local rows, new = tonumber(os.getenv("ROWS")), os.getenv("NEW") == "1"
local group = '{"MedInc":%.7f,"HouseAge":41,"AveRooms":6.984,"AveBedrms":1.024,"Population":322,"AveOccup":2.556,"Latitude":37.88,"Longitude":-122.23}'
local turn, first = 0, 0

function init()
  math.randomseed(tonumber(os.getenv("SEED")))
  first = math.random(1, 900000) -- so that no earlier run had these
end

function request()
  local groups = {}
  for row = 1, rows do
    groups[row] = string.format(group, first + (turn * rows + row) / 1e6)
  end
  turn = new and turn + 1 or (turn + 1) % 20
  return wrk.format("POST", "/predict", nil, '{"data":[' .. table.concat(groups, ",") .. "]}")
end

function done(summary, latency)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("RESULT rps=%.1f p50=%.2f p99=%.2f failed=%d\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed))
end
