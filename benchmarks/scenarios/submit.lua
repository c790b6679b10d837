-- POST /jobs; nobody polls. Argument: first car's number.

package.path = "benchmarks/scenarios/?.lua;" .. package.path
local Cars = require("cars")
require("summary")

local HEADERS = {["Content-Type"] = "application/json"}
local first, sent = 0, 0

function init(args)
    first = tonumber(args[1])
end

function request()
    sent = sent + 1
    return wrk.format("POST", "/jobs", HEADERS, Cars.body(first + sent))
end

function response(status)
    if status == 202 then
        finished = finished + 1
    else
        failed = failed + 1
    end
end
