"""Lua scripts that find jobs in segments, and move ended jobs out of Redis.

Ids are compared as bytes of equal length; those of a segment lie within `SEGMENT_SPAN_S`.
"""

from shared.redis.connections import ALLOW_OOM

SEGMENT_SPAN_S = 600
"""Longest time between the smallest and the largest id of a segment: it bounds how many segments
are looked at for one id."""

# KEYS: segments, segments by time.  ARGV: prefix of tombstones, then id, time of the id, ...
# Returns, packed, for each id: its tombstone or false, and the segments that may have it.
FIND = (
    ALLOW_OOM
    + f"local SPAN_S = {SEGMENT_SPAN_S}"
    + """
local found = {}
for i = 2, #ARGV, 2 do
  local at, segments = tonumber(ARGV[i + 1]), {}
  local names = redis.call('ZRANGEBYSCORE', KEYS[2], at, at + SPAN_S)
  if #names > 0 then segments = redis.call('HMGET', KEYS[1], unpack(names)) end
  found[#found + 1] = {redis.call('GET', ARGV[1] .. ARGV[i]), segments}
end
return cmsgpack.pack(found)
"""
)

# KEYS: segments, segments of a caller.  ARGV: highest and lowest time, number of segments.
# Returns them, packed, the latest first.
OF_CALLER = (
    ALLOW_OOM
    + """
local names = redis.call('ZREVRANGEBYSCORE', KEYS[2], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local segments = {}
if #names > 0 then segments = redis.call('HMGET', KEYS[1], unpack(names)) end
return cmsgpack.pack({#names, segments})
"""
)

# Reads ended jobs, to be moved.  ARGV: prefixes of jobs and of tombstones, ids.
# Returns for each, packed: its fields, when it expires, when its tombstone does.
READ_ENDED = (
    ALLOW_OOM
    + """
local found = {}
for i = 3, #ARGV do
  local name = ARGV[1] .. ARGV[i]
  found[i - 2] = {redis.call('HGETALL', name), redis.call('EXPIRETIME', name),
                  redis.call('EXPIRETIME', ARGV[2] .. ARGV[i])}
end
return cmsgpack.pack(found)
"""
)

# KEYS: lease.  ARGV: who takes it, for how long, seconds.  Returns nil if somebody else holds it.
ACQUIRE = (
    ALLOW_OOM
    + """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return false end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""
)

_LEASE_CHECK = (
    ALLOW_OOM
    + """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""
)

# The first two ARGV of the following scripts: the holder of the lease, for how long it is renewed.

# KEYS: lease, pending.  ARGV: segment that is pending from now on, or "".
# Returns nil if somebody else holds the lease.
SET_PENDING = (
    _LEASE_CHECK
    + """
if ARGV[3] == '' then redis.call('DEL', KEYS[2]) else redis.call('SET', KEYS[2], ARGV[3]) end
return 1
"""
)

# KEYS: lease, segments, segments by time, due segments.  ARGV: id of the segment, packed, time of
# its largest id, when it is due, prefix of the segments of a caller, until when these are kept,
# now, packed callers with a job in it. Each caller's list loses up to two expired segments.
# Returns nil if somebody else holds the lease.
ADD = (
    _LEASE_CHECK
    + """
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[3])
redis.call('ZADD', KEYS[4], 'NX', ARGV[6], ARGV[3])
for _, caller in ipairs(cmsgpack.unpack(ARGV[10])) do
  local list = ARGV[7] .. caller
  for _, name in ipairs(redis.call('ZRANGE', list, 0, 1)) do
    local packed = redis.call('HGET', KEYS[2], name)
    if not packed or cmsgpack.unpack(packed)[5] < tonumber(ARGV[9]) then
      redis.call('ZREM', list, name)
    end
  end
  redis.call('ZADD', list, ARGV[5], ARGV[3])
  if redis.call('EXPIRETIME', list) < tonumber(ARGV[8]) then
    redis.call('EXPIREAT', list, ARGV[8])
  end
end
return 1
"""
)

# Removes jobs that are in a segment from Redis. What a job with a callback takes counts until it
# expires, because the record of its webhook stays. One that changed meanwhile stays; what the
# segment has of it, or of one that its caller has deleted, is to be removed there.
# KEYS: lease, deletions.  ARGV: id of the segment, prefixes of jobs, tombstones, jobs of a caller
# and usage of ended jobs, mark of the tombstones of deleted jobs, packed jobs: id, caller, when it
# ended.
# Returns nil if somebody else holds the lease.
REMOVE = (
    _LEASE_CHECK
    + """
for _, job in ipairs(cmsgpack.unpack(ARGV[9])) do
  local id, caller, finished_at = unpack(job)
  local name, seen = ARGV[4] .. id, ARGV[5] .. id
  local stored = redis.call('HMGET', name, 'finished_at', 'memory', 'kept_until', 'callback')
  if stored[1] == finished_at then
    local kept = ARGV[7] .. caller
    if stored[3] and not stored[4] and redis.call('HEXISTS', kept, 'm:' .. stored[3]) == 1 then
      redis.call('HINCRBY', kept, 'm:' .. stored[3], -stored[2])
    end
    redis.call('DEL', name, seen)
    redis.call('ZREM', ARGV[6] .. caller, id)
  else
    local owner = redis.call('GET', seen)
    local is_deleted = owner and owner:sub(-#ARGV[8]) == ARGV[8]
    if is_deleted or redis.call('EXISTS', name) == 1 then
      redis.call('SADD', KEYS[2], ARGV[3] .. ' ' .. id)
    end
  end
end
return 1
"""
)

# KEYS: lease, queue of ended jobs.  ARGV: how many of its first jobs are dealt with.
# Returns nil if somebody else holds the lease.
TRIM = (
    _LEASE_CHECK
    + """
redis.call('LTRIM', KEYS[2], ARGV[3], -1)
return 1
"""
)

# KEYS: lease, segments, segments by time, due segments.  ARGV: id of a segment, when it is due
# again, or "" if it is deleted.
# Returns nil if somebody else holds the lease.
EXPIRE = (
    _LEASE_CHECK
    + """
if ARGV[4] ~= '' then
  redis.call('ZADD', KEYS[4], 'XX', ARGV[4], ARGV[3])
else
  redis.call('HDEL', KEYS[2], ARGV[3])
  redis.call('ZREM', KEYS[3], ARGV[3])
  redis.call('ZREM', KEYS[4], ARGV[3])
end
return 1
"""
)

# KEYS: lease.  Gives the lease back.
RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""

# Deletes a job that is in a segment.
# KEYS: tombstone, usage of the caller's ended jobs, deletions.  ARGV: content of the tombstone, its
# time to live, end of the period in which it expires, what it takes, bytes of the job's blobs, end
# of the period in which the job expires, entries of the deletions.
# Returns 1: deleted, 0: it was deleted before.
DELETE_MOVED = (
    ALLOW_OOM
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('HINCRBY', KEYS[2], 't:' .. ARGV[3], ARGV[4])
if redis.call('HEXISTS', KEYS[2], 'd:' .. ARGV[6]) == 1 then
  redis.call('HINCRBY', KEYS[2], 'd:' .. ARGV[6], -ARGV[5])
end
if redis.call('TTL', KEYS[2]) < tonumber(ARGV[2]) then redis.call('EXPIRE', KEYS[2], ARGV[2]) end
for i = 7, #ARGV do redis.call('SADD', KEYS[3], ARGV[i]) end
return 1
"""
)
