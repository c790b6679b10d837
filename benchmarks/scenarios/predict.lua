-- POST /predict. Arguments: first car's number, number of different cars (0: a new one per request).

package.path = "benchmarks/scenarios/?.lua;" .. package.path
local Cars = require("cars")
require("summary")

local HEADERS = {["Content-Type"] = "application/json"}
local first, different, sent = 0, 0, 0

function init(args)
    first, different = tonumber(args[1]), tonumber(args[2])
end

function request()
    local n = different > 0 and sent % different or sent
    sent = sent + 1
    return wrk.format("POST", "/predict", HEADERS, Cars.body(first + n))
end

function response(status)
    if status == 200 then
        finished = finished + 1
    else
        failed = failed + 1
    end
end
