-- wrk script: ROWS block groups per request; HIT_RATIO of them are known (2,000 in 20 requests), the others are new
local rows = tonumber(os.getenv("ROWS"))
local known_rows = rows * tonumber(os.getenv("HIT_RATIO"))
local names = {"MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude"}
local low = {0.5, 1, 2, 0.8, 100, 1.5, 32.5, -124.3}
local high = {12, 52, 9, 1.4, 4000, 4.5, 42, -114.3}
local requests, sent = {}, 0

function init() -- math.random() gives the same numbers in each run of wrk
  for number = 1, 20 do
    requests[number] = {}
    for row = 1, rows do
      local fields = {}
      for k, name in ipairs(names) do
        fields[k] = string.format('"%s":%.4f', name, low[k] + math.random() * (high[k] - low[k]))
      end
      requests[number][row] = fields
    end
  end
end

function request()
  sent = sent + 1
  local groups = {}
  for row, fields in ipairs(requests[sent % #requests + 1]) do
    local new_digits = row > known_rows and string.format("%06d", sent) or ""
    groups[row] = "{" .. fields[1] .. new_digits .. "," .. table.concat(fields, ",", 2) .. "}"
  end
  local body = '{"data":[' .. table.concat(groups, ",") .. "]}"
  return wrk.format("POST", wrk.path, {["Content-Type"] = "application/json"}, body)
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("RESULT rps=%.1f p50=%.1fms p99=%.1fms failed=%d\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed))
end
