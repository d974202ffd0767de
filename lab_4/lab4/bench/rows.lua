-- wrk: $ROWS random block groups a request
local rows = tonumber(os.getenv("ROWS"))
local names = {"MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude"}
local low = {0.5, 1, 2, 0.8, 100, 1.5, 32.5, -124.3}
local high = {12, 52, 9, 1.4, 4000, 4.5, 42, -114.3}
local bodies, turn = {}, 0

function init()
  for body = 1, rows > 1 and 20 or 500 do
    local groups = {}
    for row = 1, rows do
      local fields = {}
      for k, name in ipairs(names) do
        fields[k] = string.format('"%s":%.4f', name, low[k] + math.random() * (high[k] - low[k]))
      end
      groups[row] = "{" .. table.concat(fields, ",") .. "}"
    end
    bodies[body] = '{"data":[' .. table.concat(groups, ",") .. "]}"
  end
end

function request()
  turn = turn % #bodies + 1
  return wrk.format("POST", "/predict", nil, bodies[turn])
end

function done(summary, latency)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("RESULT rps=%.1f p50=%.1fms p99=%.1fms failed=%d\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed))
end
