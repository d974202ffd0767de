-- wrk script: ROWS random block groups per request; PROTOCOL=v2: the Open Inference Protocol, which MLServer uses
local rows = tonumber(os.getenv("ROWS"))
local v2 = os.getenv("PROTOCOL") == "v2"
local names = {"MedInc", "HouseAge", "AveRooms", "AveBedrms", "Population", "AveOccup", "Latitude", "Longitude"}
local low = {0.5, 1, 2, 0.8, 100, 1.5, 32.5, -124.3}
local high = {12, 52, 9, 1.4, 4000, 4.5, 42, -114.3}
local json = '{"data":[%s]}'
if v2 then json = '{"inputs":[{"name":"x","shape":[' .. rows .. ',8],"datatype":"FP64","data":[%s]}]}' end
local bodies, sent = {}, 0

function init()
  for body = 1, rows > 1 and 20 or 500 do
    local groups = {}
    for row = 1, rows do
      local fields = {}
      for k, name in ipairs(names) do
        local value = string.format("%.4f", low[k] + math.random() * (high[k] - low[k]))
        fields[k] = v2 and value or '"' .. name .. '":' .. value
      end
      local group = table.concat(fields, ",")
      groups[row] = v2 and group or "{" .. group .. "}"
    end
    bodies[body] = string.format(json, table.concat(groups, ","))
  end
end

function request()
  sent = sent + 1
  return wrk.format("POST", wrk.path, {["Content-Type"] = "application/json"}, bodies[sent % #bodies + 1])
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("RESULT rps=%.1f p50=%.1fms p99=%.1fms failed=%d\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed))
end
