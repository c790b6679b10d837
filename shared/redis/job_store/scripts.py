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

# Reads many jobs.  ARGV: key prefix of jobs, ids.  Returns the fields and values of each, packed:
# the client parses one response instead of thirty for each job.
LOAD = (
    ALLOW_OOM
    + """
local found = {}
for i = 2, #ARGV do found[i - 1] = redis.call('HGETALL', ARGV[1] .. ARGV[i]) end
return cmsgpack.pack(found)
"""
)

# ARGV: key prefix of jobs, ids.  Returns whether the cancellation of each has been requested, 1 or
# 0, joined by commas.
CANCEL_REQUESTS = (
    ALLOW_OOM
    + """
local found = {}
for i = 2, #ARGV do
  local requested = redis.call('HGET', ARGV[1] .. ARGV[i], 'cancel_requested')
  found[i - 1] = requested == '1' and 1 or 0
end
return table.concat(found, ',')
"""
)

# Reads positions in the queue.
# KEYS: completions of the present and the former window, job order.  ARGV: ids.
# Returns, joined by commas: both numbers of completions, when the oldest open job was created, and
# for each id how many open jobs were created before; "" for what there is not.
POSITIONS = (
    ALLOW_OOM
    + """
local found = {
  redis.call('GET', KEYS[1]) or '', redis.call('GET', KEYS[2]) or '',
  redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2] or '',
}
for i, id in ipairs(ARGV) do found[i + 3] = redis.call('ZRANK', KEYS[3], id) or '' end
return table.concat(found, ',')
"""
)

# Stores many jobs.
# KEYS: open jobs, job order, usage of open jobs.  ARGV: now, end of the leases, time to live of the
# tombstones, key prefixes of jobs, tombstones, jobs of a caller and usage of ended jobs, packed
# jobs. A job: id, caller, created at, limit of the caller's bytes in Redis (0: none), bytes in
# Redis, bytes of blobs, bytes needed to end it, its fields and values, its Idempotency-Key: name of
# the entry, entry, time to live; or nothing. Each new job removes up to two expired ids from the
# caller's list, which bounds the list.
# Returns for each 1: created, 0: exists, -1: the caller has reached the limit, or the entry of an
# earlier request with the Idempotency-Key.
CREATE = """
local jobs, new, kept_of = cmsgpack.unpack(ARGV[8]), {}, {}
local open_jobs, order = {}, {}
local function kept(caller)
  if not kept_of[caller] then
    local sum = tonumber(redis.call('HGET', KEYS[3], 'm:' .. caller) or 0)
    local found = redis.call('HGETALL', ARGV[7] .. caller)
    for i = 1, #found, 2 do
      local kind, until_ = found[i]:match('^(%a):(%d+)$')
      local is_memory = kind == 'm' or kind == 't'
      if is_memory and tonumber(until_) > tonumber(ARGV[1]) then sum = sum + found[i + 1] end
    end
    kept_of[caller] = sum
  end
  return kept_of[caller]
end
local function create(id, caller, created_at, limit, memory, disk, need, fields, entry)
  local name = ARGV[4] .. id
  if redis.call('EXISTS', name) == 1 then return 0 end
  local own = new[caller] or {members = {}, memory = 0, disk = 0, need = 0}
  if limit > 0 and kept(caller) + own.memory + own.need + memory + need > limit then return -1 end
  if entry then
    local earlier = redis.call('GET', entry[1])
    if earlier then return earlier end
    redis.call('SET', entry[1], entry[2], 'EX', entry[3])
  end
  redis.call('HSET', name, 'memory', memory, 'disk', disk, 'need', need, unpack(fields))
  redis.call('SET', ARGV[5] .. id, caller, 'EX', ARGV[3])
  own.memory, own.disk, own.need = own.memory + memory, own.disk + disk, own.need + need
  table.insert(own.members, 0)
  table.insert(own.members, id)
  new[caller] = own
  table.insert(open_jobs, ARGV[2])
  table.insert(open_jobs, id)
  table.insert(order, created_at)
  table.insert(order, id)
  return 1
end
local outcomes = {}
for i, job in ipairs(jobs) do outcomes[i] = create(unpack(job)) end
if #order == 0 then return outcomes end
redis.call('ZADD', KEYS[1], unpack(open_jobs))
redis.call('ZADD', KEYS[2], unpack(order))
for caller, own in pairs(new) do
  redis.call('HINCRBY', KEYS[3], 'n:' .. caller, #own.members / 2)
  redis.call('HINCRBY', KEYS[3], 'm:' .. caller, own.memory + own.need)
  redis.call('HINCRBY', KEYS[3], 'd:' .. caller, own.disk)
  redis.call('HINCRBY', KEYS[3], 'need', own.need)
  local list = ARGV[6] .. caller
  for _, id in ipairs(redis.call('ZRANGE', list, 0, #own.members - 1)) do
    if redis.call('EXISTS', ARGV[4] .. id) == 0 then redis.call('ZREM', list, id) end
  end
  redis.call('ZADD', list, unpack(own.members))
  redis.call('EXPIRE', list, ARGV[3])
end
return outcomes
"""

# Starts many jobs.
# KEYS: open jobs.  ARGV: now, end of the leases, progress channel, key prefix of jobs, ids.
# Returns the state of each, joined by commas; "" for a job that is gone.
START = (
    ALLOW_OOM
    + """
local states, started, leases = {}, {}, {}
for i = 5, #ARGV do
  local name = ARGV[4] .. ARGV[i]
  local state = redis.call('HGET', name, 'state')
  if state == 'QUEUED' or state == 'RUNNING' then
    redis.call('HSETNX', name, 'started_at', ARGV[1])
    redis.call('HSET', name, 'state', 'RUNNING')
    redis.call('HINCRBY', name, 'attempts', 1)
    table.insert(started, ARGV[i])
    table.insert(leases, ARGV[2])
    table.insert(leases, ARGV[i])
    state = 'RUNNING'
  end
  states[i - 4] = state or ''
end
if #started > 0 then
  redis.call('ZADD', KEYS[1], 'XX', unpack(leases))
  redis.call('PUBLISH', ARGV[3], table.concat(started, ','))
end
return table.concat(states, ',')
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

# KEYS of FINISH and CANCEL: open jobs, job order, completions, usage of open jobs, queue of ended
# jobs that go into a segment.
# ARGV: now, retention, key prefixes of jobs and of `ended_usage`, end of the period in which the
# jobs expire, channels for ids and for ends, largest result in an end, largest message.
# A job of an earlier version has no counts: `RECOUNT` takes it out of the usage of open jobs. One
# that has the field `ends` was stored by an API that reads the channel for ends; if it is 2,
# that API reads segments as well.
_END = (
    RECORD_END
    + """
local ended, moved, usage, kept_of, packed_ends, packed_size = {}, {}, {}, {}, {}, 0
local function add(name, number) usage[name] = (usage[name] or 0) + number end
local function publish_ends()
  if #packed_ends > 0 then redis.call('PUBLISH', ARGV[7], cmsgpack.pack(packed_ends)) end
  packed_ends, packed_size = {}, 0
end
local function finish(id, state, error, estimates, blob, blob_size)
  local name = ARGV[3] .. id
  local caller, memory, disk, need, started_at, attempts, ends, cancel, callback = unpack(
    redis.call('HMGET', name, 'caller', 'memory', 'disk', 'need', 'started_at', 'attempts', 'ends',
               'cancel_requested', 'callback'))
  local fields = {'state', state, 'finished_at', ARGV[1], 'error', error}
  local function set(field, value)
    fields[#fields + 1] = field
    fields[#fields + 1] = value
  end
  if caller and memory then
    add('n:' .. caller, -1)
    add('m:' .. caller, -memory - need)
    add('d:' .. caller, -disk)
    add('need', -need)
    local kept = kept_of[caller] or {memory = 0, disk = 0}
    memory, disk = memory + #estimates, disk + blob_size
    kept.memory, kept.disk = kept.memory + memory, kept.disk + disk
    kept_of[caller] = kept
    set('memory', memory)
    set('disk', disk)
    set('kept_until', ARGV[5])
  end
  if blob ~= '' then
    set('estimates_blob', blob)
    set('schema', 2)
  elseif estimates ~= '' then
    set('estimates', estimates)
  end
  redis.call('HSET', name, unpack(fields))
  redis.call('EXPIRE', name, ARGV[2])
  table.insert(ended, id)
  if ends == '2' then table.insert(moved, id) end
  if callback then
    local known = redis.call('HMGET', name, 'created_at', 'total')
    record_webhook(callback, {kind = 'job', id = id, state = state, error = error,
                              caller = caller, created_at = known[1], started_at = started_at,
                              finished_at = ARGV[1], total = known[2]})
  end
  if not ends then
    redis.call('PUBLISH', ARGV[6], id)
    return
  end
  local is_inline = blob == '' and #estimates <= tonumber(ARGV[8])
  local result = is_inline and estimates or false
  local times = {ARGV[1], started_at}
  local end_ = {id, state, times, tonumber(attempts or 0), error, result, cancel == '1'}
  table.insert(packed_ends, end_)
  packed_size = packed_size + (result and #result or 0)
  if packed_size > tonumber(ARGV[9]) then publish_ends() end
end
local function commit()
  if #ended == 0 then return end
  for name, number in pairs(usage) do redis.call('HINCRBY', KEYS[4], name, number) end
  for caller, sums in pairs(kept_of) do
    local kept = ARGV[4] .. caller
    redis.call('HINCRBY', kept, 'd:' .. ARGV[5], sums.disk)
    if redis.call('HINCRBY', kept, 'm:' .. ARGV[5], sums.memory) == sums.memory then
      for _, name in ipairs(redis.call('HKEYS', kept)) do
        if tonumber(name:sub(3)) <= tonumber(ARGV[1]) then redis.call('HDEL', kept, name) end
      end
    end
    local keep_s = math.ceil(ARGV[5] - ARGV[1])
    if redis.call('TTL', kept) < keep_s then redis.call('EXPIRE', kept, keep_s) end
  end
  redis.call('ZREM', KEYS[1], unpack(ended))
  redis.call('ZREM', KEYS[2], unpack(ended))
  redis.call('INCRBY', KEYS[3], #ended)
  redis.call('EXPIRE', KEYS[3], 120)
  if #moved > 0 then
    redis.call('RPUSH', KEYS[5], unpack(moved))
    redis.call('EXPIRE', KEYS[5], ARGV[2])
  end
  publish_ends()
end
"""
)

# Further ARGV: packed ends: id, state, error, estimates, name of their blob (then they are empty)
# or "", its size.
# Returns for each 1: ended by this call, 0: had ended before, -1: gone; joined by commas.
FINISH = (
    ALLOW_OOM
    + _END
    + """
local outcomes = {}
for i, each in ipairs(cmsgpack.unpack(ARGV[10])) do
  local state = redis.call('HGET', ARGV[3] .. each[1], 'state')
  outcomes[i] = 0
  if not state then outcomes[i] = -1
  elseif state == 'QUEUED' or state == 'RUNNING' then
    finish(unpack(each))
    outcomes[i] = 1
  end
end
commit()
return table.concat(outcomes, ',')
"""
)

# Further ARGV: id.
CANCEL = (
    ALLOW_OOM
    + _END
    + """
local name = ARGV[3] .. ARGV[10]
local state = redis.call('HGET', name, 'state')
if not state then return false end
if state ~= 'QUEUED' and state ~= 'RUNNING' then return state end
redis.call('HSET', name, 'cancel_requested', 1)
if state == 'QUEUED' then finish(ARGV[10], 'CANCELLED', '', '', '', 0) end
commit()
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
