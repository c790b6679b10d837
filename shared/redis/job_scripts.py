"""Lua scripts that change a job, each atomic."""

_TERMINAL_CHECK = """
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return false end
if state == 'SUCCEEDED' or state == 'FAILED' or state == 'CANCELLED' then return state end
"""

# KEYS: job, open jobs, job order, tombstone, jobs of the caller.
# ARGV: id, end of the lease, created at, caller, time to live of the tombstone, key prefix of jobs,
# then fields and values. Each new job removes up to two expired ids from the caller's list, which
# bounds the list.
CREATE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 7))
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
    _TERMINAL_CHECK
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
    _TERMINAL_CHECK
    + """
if ARGV[3] == '1' and redis.call('HINCRBY', KEYS[1], 'attempts', -1) < 0 then
  redis.call('HSET', KEYS[1], 'attempts', 0)
end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'last_failure', ARGV[4]) end
return redis.call('ZADD', KEYS[2], 'XX', 'CH', ARGV[2], ARGV[1])
"""
)

# A job that failed is open again, with all its attempts.
# KEYS: job, open jobs, job order.  ARGV: id, end of the lease.  Returns 1 if it is open now.
REOPEN = """
local known = redis.call('HMGET', KEYS[1], 'state', 'created_at')
if known[1] ~= 'FAILED' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'QUEUED', 'attempts', 0)
redis.call('HDEL', KEYS[1], 'started_at', 'finished_at', 'error', 'estimates', 'resent')
redis.call('PERSIST', KEYS[1])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[3], known[2], ARGV[1])
return 1
"""

_END = """
local function finish(state, now, retention, id, channel)
  redis.call('HSET', KEYS[1], 'state', state, 'finished_at', now)
  redis.call('EXPIRE', KEYS[1], retention)
  redis.call('ZREM', KEYS[2], id)
  redis.call('ZREM', KEYS[3], id)
  redis.call('PUBLISH', channel, id)
  redis.call('INCR', KEYS[4])
  redis.call('EXPIRE', KEYS[4], 120)
end
"""

# KEYS: job, open jobs, job order, completions.
# ARGV: now, retention, id, channel, state, estimates, error.
# Returns 1: ended by this call, 0: had ended before, -1: gone.
FINISH = (
    _END
    + """
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return -1 end
if state == 'SUCCEEDED' or state == 'FAILED' or state == 'CANCELLED' then return 0 end
redis.call('HSET', KEYS[1], 'estimates', ARGV[6], 'error', ARGV[7])
finish(ARGV[5], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
return 1
"""
)

# KEYS: job, open jobs, job order, completions.  ARGV: now, retention, id, channel.
CANCEL = (
    _END
    + _TERMINAL_CHECK
    + """
redis.call('HSET', KEYS[1], 'cancel_requested', 1)
if state == 'QUEUED' then finish('CANCELLED', ARGV[1], ARGV[2], ARGV[3], ARGV[4]) end
return 'CANCEL_REQUESTED'
"""
)
