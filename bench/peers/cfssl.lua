-- SPDX-License-Identifier: Apache-2.0
-- wrk's script for cfssl's /api/v1/cfssl/sign: each request carries another CSR, made beforehand.
--   wrk -t1 -c64 -d5s -s bench/peers/cfssl.lua http://ADDRESS -- CSRS.pem
-- Prints one line of JSON at the end.
local requests = {}
local at = 0

function init(args)
    local pem = {}
    for line in io.lines(args[1]) do
        pem[#pem + 1] = line
        if line:find("^%-%-%-%-%-END") then
            local body = '{"certificate_request":"' .. table.concat(pem, "\\n") .. '\\n"}'
            requests[#requests + 1] = wrk.format("POST", "/api/v1/cfssl/sign",
                                                 {["Content-Type"] = "application/json"}, body)
            pem = {}
        end
    end
    if #requests == 0 then
        error("no requests in " .. args[1])
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

-- cfssl answers a refusal with a 4xx, so a status is enough to tell.
function done(summary, latency)
    local errors = summary.errors.status + summary.errors.connect + summary.errors.read +
                   summary.errors.write + summary.errors.timeout
    local seconds = summary.duration / 1e6
    local good = summary.requests - summary.errors.status
    io.write(string.format('{"certificates_per_second":%.1f,"certificates":%d,"seconds":%.3f,' ..
                           '"errors":%d,"latency_us":{"p50":%d,"p99":%d,"max":%d}}\n',
                           good / seconds, good, seconds, errors, latency:percentile(50),
                           latency:percentile(99), latency.max))
end
