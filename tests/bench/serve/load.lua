-- Load of one body for wrk: `wrk … -s load.lua URL -- BODY [NAME VALUE]…`, where BODY is a file and the
-- others are headers. Says what came of it as a line of JSON. With `VERDICTS` in the environment it also
-- counts every different answer: the digest in the header, the digest in the body, the probability.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method, wrk.body = "POST", file:read("*a")
  file:close()
  for at = 2, #args, 2 do
    wrk.headers[args[at]] = args[at + 1]
  end
  verdicts = {}
  if os.getenv("VERDICTS") then
    function response(status, headers, body)
      local digest, probability = body:match('"digest":"(%x+)".-"probability":([%d.e-]+)')
      local verdict = string.format("%d %s %s %s", status, headers["x-netsec-model"], digest, probability)
      verdicts[verdict] = (verdicts[verdict] or 0) + 1
    end
  end
end

function done(summary, latency, requests)
  local failed = summary.errors
  local seen = {}
  for _, thread in ipairs(threads) do
    for verdict, count in pairs(thread:get("verdicts")) do
      table.insert(seen, string.format('"%s": %d', verdict, count))
    end
  end
  print(string.format(
    'result {"requests": %d, "seconds": %f, "refused": %d, "broken": %d, "late": %d, "verdicts": {%s}}',
    summary.requests, summary.duration / 1e6, failed.status,
    failed.connect + failed.read + failed.write, failed.timeout, table.concat(seen, ", ")))
end
