"""Lua scripts that change a job, each atomic.

Scripts that let an accepted job go on or end run even if Redis has reached its memory limit
(`ALLOW_OOM`, Redis 7.0 and Valkey): they free memory later, and admission keeps room for them.
`OPEN_USAGE` counts what open jobs take up; the counts of an ended job move to `ended_usage` of its
caller, under the time at which the job expires.
"""

from shared.redis.connections import ALLOW_OOM
from shared.redis.webhooks.records import DELIVERY_BYTES
from shared.redis.webhooks.scripts import RECORD_END

_TERMINAL_CHECK = """
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return false end
if state == 'SUCCEEDED' or state == 'FAILED' or state == 'CANCELLED' then return state end
"""

# KEYS: job, open jobs, job order, tombstone, jobs of the caller, usage of open jobs, usage of the
# caller's ended jobs.
# ARGV: id, end of the lease, created at, caller, time to live of the tombstone, key prefix of jobs,
# now, limit of the caller's bytes in Redis (0: none), bytes in Redis, bytes of blobs, bytes needed
# to end it, then fields and values. Each new job removes up to two expired ids from the caller's
# list, which bounds the list.
# Returns 1: created, 0: exists, -1: the caller has reached the limit.
CREATE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local limit = tonumber(ARGV[8])
if limit > 0 then
  local held = tonumber(redis.call('HGET', KEYS[6], 'm:' .. ARGV[4]) or 0) + ARGV[9] + ARGV[11]
  local kept = redis.call('HGETALL', KEYS[7])
  for i = 1, #kept, 2 do
    local kind, until_ = kept[i]:match('^(%a):(%d+)$')
    local is_memory = kind == 'm' or kind == 't'
    if is_memory and tonumber(until_) > tonumber(ARGV[7]) then held = held + kept[i + 1] end
  end
  if held > limit then return -1 end
end
redis.call('HSET', KEYS[1], 'memory', ARGV[9], 'disk', ARGV[10], 'need', ARGV[11],
           unpack(ARGV, 12))
redis.call('HINCRBY', KEYS[6], 'n:' .. ARGV[4], 1)
redis.call('HINCRBY', KEYS[6], 'm:' .. ARGV[4], ARGV[9] + ARGV[11])
redis.call('HINCRBY', KEYS[6], 'd:' .. ARGV[4], ARGV[10])
redis.call('HINCRBY', KEYS[6], 'need', ARGV[11])
for _, id in ipairs(redis.call('ZRANGE', KEYS[5], 0, 1)) do
  if redis.call('EXISTS', ARGV[6] .. id) == 0 then redis.call('ZREM', KEYS[5], id) end
end
redis.call('ZADD', KEYS[5], 0, ARGV[1])
redis.call('EXPIRE', KEYS[5], ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
redis.call('SET', KEYS[4], ARGV[4], 'EX', ARGV[5])
return 1
"""

# KEYS: job, open jobs.  ARGV: now, end of the lease, id, progress channel.
START = (
    ALLOW_OOM
    + _TERMINAL_CHECK
    + """
redis.call('HSETNX', KEYS[1], 'started_at', ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'RUNNING')
redis.call('HINCRBY', KEYS[1], 'attempts', 1)
redis.call('ZADD', KEYS[2], 'XX', ARGV[2], ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[3])
return 'RUNNING'
"""
)

# KEYS: job, open jobs.  ARGV: id, end of the lease, 1 if the attempt does not count, its failure
# or "".  Returns 1 if the job is open.
RETRY = (
    ALLOW_OOM
    + _TERMINAL_CHECK
    + """
if ARGV[3] == '1' and redis.call('HINCRBY', KEYS[1], 'attempts', -1) < 0 then
  redis.call('HSET', KEYS[1], 'attempts', 0)
end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'last_failure', ARGV[4]) end
return redis.call('ZADD', KEYS[2], 'XX', 'CH', ARGV[2], ARGV[1])
"""
)

# A job that failed is open again, with all its attempts; its counts move back to the open jobs.
# KEYS: job, open jobs, job order, usage of open jobs.  ARGV: id, end of the lease, key prefix of
# `ended_usage`.  Returns 1 if it is open now.
REOPEN = (
    ALLOW_OOM
    + """
local known = redis.call('HMGET', KEYS[1], 'state', 'created_at')
if known[1] ~= 'FAILED' then return 0 end
local found = redis.call('HMGET', KEYS[1], 'caller', 'memory', 'disk', 'need', 'kept_until')
if found[2] then
  redis.call('HINCRBY', KEYS[4], 'n:' .. found[1], 1)
  redis.call('HINCRBY', KEYS[4], 'm:' .. found[1], found[2] + found[4])
  redis.call('HINCRBY', KEYS[4], 'd:' .. found[1], found[3])
  redis.call('HINCRBY', KEYS[4], 'need', found[4])
  local kept = ARGV[3] .. found[1]
  if found[5] and redis.call('HEXISTS', kept, 'm:' .. found[5]) == 1 then
    redis.call('HINCRBY', kept, 'm:' .. found[5], -found[2])
    redis.call('HINCRBY', kept, 'd:' .. found[5], -found[3])
  end
  redis.call('HDEL', KEYS[1], 'kept_until')
end
redis.call('HSET', KEYS[1], 'state', 'QUEUED', 'attempts', 0)
redis.call('HDEL', KEYS[1], 'started_at', 'finished_at', 'error', 'estimates', 'resent')
redis.call('PERSIST', KEYS[1])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[3], known[2], ARGV[1])
return 1
"""
)

# KEYS of FINISH and CANCEL: job, open jobs, job order, completions, usage of open jobs.
# ARGV: now, retention, id, channel, key prefix of `ended_usage`, end of the period in which the job
# expires.
# A job of an earlier version has no counts: `RECOUNT` takes it out of the usage of open jobs.
_END = (
    RECORD_END
    + """
local function add(name, number)
  redis.call('HINCRBY', KEYS[5], name, number)
end
local function move_usage(results_memory, results_disk)
  local found = redis.call('HMGET', KEYS[1], 'caller', 'memory', 'disk', 'need')
  local caller, memory, disk = found[1], tonumber(found[2]), tonumber(found[3])
  if not caller or not memory then return end
  add('n:' .. caller, -1)
  add('m:' .. caller, -memory - found[4])
  add('d:' .. caller, -disk)
  add('need', -found[4])
  memory, disk = memory + results_memory, disk + results_disk
  local kept = ARGV[5] .. caller
  redis.call('HSET', KEYS[1], 'memory', memory, 'disk', disk, 'kept_until', ARGV[6])
  redis.call('HINCRBY', kept, 'd:' .. ARGV[6], disk)
  if redis.call('HINCRBY', kept, 'm:' .. ARGV[6], memory) == memory then
    for _, name in ipairs(redis.call('HKEYS', kept)) do
      if tonumber(name:sub(3)) <= tonumber(ARGV[1]) then redis.call('HDEL', kept, name) end
    end
  end
  local keep_s = math.ceil(ARGV[6] - ARGV[1])
  if redis.call('TTL', kept) < keep_s then redis.call('EXPIRE', kept, keep_s) end
end
local function finish(state, results_memory, results_disk)
  local job = redis.call('HMGET', KEYS[1], 'callback', 'caller', 'created_at', 'started_at',
                         'total', 'error')
  record_webhook(job[1], {kind = 'job', id = ARGV[3], state = state, finished_at = ARGV[1],
                          caller = job[2], created_at = job[3], started_at = job[4],
                          total = job[5], error = job[6]})
  move_usage(results_memory, results_disk)
  redis.call('HSET', KEYS[1], 'state', state, 'finished_at', ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  redis.call('ZREM', KEYS[2], ARGV[3])
  redis.call('ZREM', KEYS[3], ARGV[3])
  redis.call('PUBLISH', ARGV[4], ARGV[3])
  redis.call('INCR', KEYS[4])
  redis.call('EXPIRE', KEYS[4], 120)
end
"""
)

# Further ARGV: state, error, estimates, name of their blob (then they are empty) or "", its size.
# Returns 1: ended by this call, 0: had ended before, -1: gone.
FINISH = (
    ALLOW_OOM
    + _END
    + """
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return -1 end
if state == 'SUCCEEDED' or state == 'FAILED' or state == 'CANCELLED' then return 0 end
redis.call('HSET', KEYS[1], 'error', ARGV[8])
if ARGV[10] ~= '' then
  redis.call('HSET', KEYS[1], 'estimates_blob', ARGV[10], 'schema', 2)
else
  redis.call('HSET', KEYS[1], 'estimates', ARGV[9])
end
finish(ARGV[7], #ARGV[9], tonumber(ARGV[11]))
return 1
"""
)

CANCEL = (
    ALLOW_OOM
    + _END
    + _TERMINAL_CHECK
    + """
redis.call('HSET', KEYS[1], 'cancel_requested', 1)
if state == 'QUEUED' then finish('CANCELLED', 0, 0) end
return 'CANCEL_REQUESTED'
"""
)

# KEYS: job, tombstone, jobs of the caller, usage of the caller's ended jobs.
# ARGV: id, content of the tombstone, its time to live, end of the period in which it expires, what
# it takes. A caller that deletes all its jobs still fills the memory with their tombstones and
# webhooks.
# Returns nil: gone, 0: it has not ended, 1: deleted.
DELETE = (
    ALLOW_OOM
    + f"local DELIVERY_BYTES = {DELIVERY_BYTES}"
    + """
local found = redis.call('HMGET', KEYS[1], 'state', 'memory', 'disk', 'kept_until')
local state = found[1]
if not state then return false end
if state ~= 'SUCCEEDED' and state ~= 'FAILED' and state ~= 'CANCELLED' then return 0 end
if found[4] and redis.call('HEXISTS', KEYS[4], 'm:' .. found[4]) == 1 then
  redis.call('HINCRBY', KEYS[4], 'm:' .. found[4], -found[2])
  redis.call('HINCRBY', KEYS[4], 'd:' .. found[4], -found[3])
end
local callback = redis.call('HSTRLEN', KEYS[1], 'callback')
if callback > 0 then ARGV[5] = ARGV[5] + 2 * callback + DELIVERY_BYTES end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
redis.call('HINCRBY', KEYS[4], 't:' .. ARGV[4], ARGV[5])
if redis.call('TTL', KEYS[4]) < tonumber(ARGV[3]) then
  redis.call('EXPIRE', KEYS[4], ARGV[3])
end
return 1
"""
)

# Counts the usage of the open jobs again: jobs that workers of an earlier version ended, or whose
# hash is lost, are still in it.
# KEYS: usage of open jobs, open jobs.  ARGV: key prefix of jobs, counts of a job without counts:
# bytes in Redis, bytes needed per car.
RECOUNT = (
    ALLOW_OOM
    + """
local sums = {need = 0}
local function add(name, number) sums[name] = (sums[name] or 0) + number end
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local found = redis.call('HMGET', ARGV[1] .. id, 'caller', 'memory', 'disk', 'need', 'total')
  if found[1] then
    add('n:' .. found[1], 1)
    local need = found[4] or ARGV[3] * (found[5] or 1)
    add('m:' .. found[1], (found[2] or ARGV[2]) + need)
    add('d:' .. found[1], found[3] or 0)
    add('need', need)
  end
end
redis.call('DEL', KEYS[1])
for name, number in pairs(sums) do
  redis.call('HSET', KEYS[1], name, string.format('%.0f', number))
end
return sums.need
"""
)
