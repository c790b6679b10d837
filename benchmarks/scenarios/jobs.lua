-- POST /jobs, then GET /jobs/{id}?wait=5 until it has succeeded. Argument: first car's number.
-- The connections share one list of unfinished jobs: an idle one polls a job or submits another.

package.path = "benchmarks/scenarios/?.lua;" .. package.path
local Cars = require("cars")
require("summary")

local HEADERS = {["Content-Type"] = "application/json"}
local first, sent, unfinished = 0, 0, {}

function init(args)
    first = tonumber(args[1])
end

function request()
    local id = table.remove(unfinished, 1)
    if id then
        return wrk.format("GET", "/jobs/" .. id .. "?wait=5")
    end
    sent = sent + 1
    return wrk.format("POST", "/jobs", HEADERS, Cars.body(first + sent))
end

function response(status, _, body)
    if body:find('"state"%s*:%s*"SUCCEEDED"') then
        finished = finished + 1
    elseif status == 200 or status == 202 then
        table.insert(unfinished, body:match('"id"%s*:%s*"([^"]+)"'))
    else
        failed = failed + 1
    end
end
