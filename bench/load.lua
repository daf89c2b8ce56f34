-- For wrk: a request for each line of a file (a Cookie value, or nothing), in turn; what came of it as one line of JSON.
local requests, at = {}, 0

function init(args)
  local fields = {}
  for index = 2, #args do
    local name, value = args[index]:match("^([^:]+): (.*)$")
    fields[name] = value
  end
  for line in io.lines(args[1]) do
    if line ~= "" then fields["Cookie"] = line end
    requests[#requests + 1] = wrk.format("GET", nil, fields)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%.6f,"bytes":%d,"p50":%d,"p99":%d,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
