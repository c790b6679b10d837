-- Shared by all scripts: each thread counts in its own Lua state; `done` adds the counts up.

finished = 0 -- successful operations
failed = 0 -- responses with an unexpected status

local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function done(summary, latency, requests)
    local all_finished, all_failed = 0, 0
    for _, thread in ipairs(threads) do
        all_finished = all_finished + thread:get("finished")
        all_failed = all_failed + thread:get("failed")
    end
    local errors = summary.errors
    io.write(string.format(
        '\nRESULT {"duration_s":%.6f,"requests":%d,"finished":%d,"failed":%d,'
        .. '"p50_ms":%.4f,"p90_ms":%.4f,"p95_ms":%.4f,"p99_ms":%.4f,"max_ms":%.4f}\n',
        summary.duration / 1e6, summary.requests, all_finished,
        all_failed + errors.connect + errors.read + errors.write + errors.timeout,
        latency:percentile(50) / 1e3, latency:percentile(90) / 1e3,
        latency:percentile(95) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
