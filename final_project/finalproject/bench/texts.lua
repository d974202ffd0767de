-- wrk: one text of $TEXTS (a file, one a line) a request. With NEW=1 each is new to a cache and the same to the model,
-- which knows no capitals: the letters' case counts up.
local texts, turn = {}, 0
for line in io.lines(os.getenv("TEXTS")) do texts[#texts + 1] = line end
local new = os.getenv("NEW") == "1"
local start = tonumber(os.getenv("SEED") or "0") * 1000003

local function capitals(text, number)
  return (text:gsub("%a", function(letter)
    local bit = number % 2
    number = (number - bit) / 2
    return bit == 1 and letter:upper() or nil
  end))
end

function request()
  turn = turn + 1
  local text = texts[turn % #texts + 1]
  if new then text = capitals(text, start + math.floor(turn / #texts)) end
  return wrk.format("POST", "/predict", nil, '{"text":["' .. text:gsub('[\\"]', "\\%0") .. '"]}')
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("RESULT rps=%.1f p50=%.2f p99=%.2f failed=%d unanswered=%d\n",
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
