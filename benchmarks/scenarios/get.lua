-- GET one path repeatedly. Argument: the path.

package.path = "benchmarks/scenarios/?.lua;" .. package.path
require("summary")

local path = "/"

function init(args)
    path = args[1]
end

function request()
    return wrk.format("GET", path)
end

function response(status)
    if status == 200 then
        finished = finished + 1
    else
        failed = failed + 1
    end
end
