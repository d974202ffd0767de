-- wrk script. With TEXTS (a file with one text per line), each POST request has one text. Without TEXTS: GET requests.
-- With SEED, every text is new to the cache. The model ignores case, so a text with other capital letters has the same
-- tokens: the letters' case counts up in binary.
local seed = tonumber(os.getenv("SEED"))
local texts, bodies, sent = {}, {}, 0

local function body(text)
  local headers = {["Content-Type"] = "application/json"}
  return wrk.format("POST", "/predict", headers, '{"text":["' .. text:gsub('[\\"]', "\\%0") .. '"]}')
end

local function with_capitals(text, number)
  return (text:gsub("%a", function(letter)
    local bit = number % 2
    number = (number - bit) / 2
    return bit == 1 and letter:upper() or nil
  end))
end

if os.getenv("TEXTS") then
  for line in io.lines(os.getenv("TEXTS")) do texts[#texts + 1] = line end

  function init()
    for i, text in ipairs(texts) do bodies[i] = body(text) end
  end

  function request()
    local i = sent % #texts + 1
    sent = sent + 1
    if not seed then return bodies[i] end
    return body(with_capitals(texts[i], seed * 1000003 + math.floor(sent / #texts)))
  end
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("RESULT rps=%.1f p50=%.3fms p99=%.3fms failed=%d\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed))
end
