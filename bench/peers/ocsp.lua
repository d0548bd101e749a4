-- SPDX-License-Identifier: Apache-2.0
-- wrk's script for OCSP over HTTP: a file of requests of one length, asked for one after the other by POST, or by GET (base64 in
-- the path, percent-encoded, made beforehand).
-- "static PATH" asks for one document.
--   wrk -t1 -c32 -d5s -s bench/peers/ocsp.lua http://ADDRESS -- post /ocsp REQUESTS LENGTH
-- Prints one line of JSON at the end.
local requests = {}
local at = 0
local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(octets)
    local out = {}
    for i = 1, #octets, 3 do
        local a, b, c = octets:byte(i, i + 2)
        local n = a * 65536 + (b or 0) * 256 + (c or 0)
        local part = ""
        for k = 3, 0, -1 do
            local v = math.floor(n / 64 ^ k) % 64
            part = part .. alphabet:sub(v + 1, v + 1)
        end
        if not b then part = part:sub(1, 2) .. "==" elseif not c then part = part:sub(1, 3) .. "=" end
        out[#out + 1] = part
    end
    return (table.concat(out):gsub("[+/=]", { ["+"] = "%2B", ["/"] = "%2F", ["="] = "%3D" }))
end

function init(args)
    local method, path, name, length = args[1], args[2], args[3], tonumber(args[4])
    if method == "static" then
        requests[1] = wrk.format("GET", path)
        return
    end
    local file = assert(io.open(name, "rb"))
    for der in function() return file:read(length) end do
        if method == "post" then
            requests[#requests + 1] = wrk.format("POST", path,
                                                 { ["Content-Type"] = "application/ocsp-request" }, der)
        else
            requests[#requests + 1] = wrk.format("GET", path .. "/" .. base64(der))
        end
    end
    file:close()
    if #requests == 0 then
        error("no requests in " .. name)
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

-- Of the answers only statuses are seen here: bench/ocsp looks at the server's counters too.
function done(summary, latency)
    local errors = summary.errors.status + summary.errors.connect + summary.errors.read +
                   summary.errors.write + summary.errors.timeout
    local seconds = summary.duration / 1e6
    io.write(string.format('{"answers_per_second":%.1f,"answers":%d,"seconds":%.3f,' ..
                           '"errors":%d,"latency_us":{"p50":%d,"p99":%d,"max":%d}}\n',
                           summary.requests / seconds, summary.requests, seconds, errors,
                           latency:percentile(50), latency:percentile(99), latency.max))
end
