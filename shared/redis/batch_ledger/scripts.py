"""Lua scripts of the batch ledger: each change is one atomic script.

`HEAD` precedes every script. KEYS of all scripts: batch, chunks done, leases, attempts (`tries`),
open batches. A step is "split", "assemble" or a chunk's number. `stopping`: the batch is cancelled
or aborted, and no new chunk is valued. A chunk before a valued one is still valued (`wanted`), so
that the results are a gap-free prefix of the file; after the error "attempts-exhausted" no chunk
is.
"""

from shared.redis.webhooks.scripts import RECORD_END

HEAD = """
local batch, done, leases, tries, open = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local known = redis.call('HMGET', batch, 'state', 'cancel_requested', 'error', 'highest')
local state = known[1]
local ended = state == 'SUCCEEDED' or state == 'FAILED' or state == 'CANCELLED'
local stopping = known[2] == '1' or (known[3] and known[3] ~= '')
local highest = tonumber(known[4] or -1)
local function wanted(step)
  if not stopping or step == 'assemble' then return true end
  if step == 'split' or known[3] == 'attempts-exhausted' then return false end
  if tonumber(step) < highest then return true end
  for _, other in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
    local number = tonumber(other)
    if number and number > tonumber(step) and redis.call('HEXISTS', tries, other) == 1 then
      return true
    end
  end
  return false
end
"""

# ARGV: id, accepted at, lease end, caller, packed callback or "".  Returns 1 if created, 0 if it
# existed.
CREATE = """
if state then return 0 end
redis.call('HSET', batch, 'state', 'QUEUED', 'accepted_at', ARGV[2], 'chunks_cut', 0,
           'next_chunk', 0, 'caller', ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', batch, 'callback', ARGV[5]) end
redis.call('ZADD', leases, ARGV[3], 'split')
redis.call('ZADD', open, ARGV[2], ARGV[1])
return 1
"""

# ARGV: id, accepted at, now, chunks cut, total or "", caller, packed callback or "", then for each
# chunk that is done: number, valid, invalid, failed.  Returns 1 if created, 0 if it existed.
RESTORE = """
if state then return 0 end
redis.call('HSET', batch, 'state', 'QUEUED', 'accepted_at', ARGV[2], 'chunks_cut', ARGV[4],
           'next_chunk', 0, 'caller', ARGV[6])
local names = {'valid', 'invalid', 'failed'}
for i = 8, #ARGV, 4 do
  redis.call('SADD', done, ARGV[i])
  highest = math.max(highest, tonumber(ARGV[i]))
  for j = 1, 3 do redis.call('HINCRBY', batch, names[j], ARGV[i + j]) end
end
redis.call('HSET', batch, 'highest', highest)
if ARGV[5] ~= '' then redis.call('HSET', batch, 'total', ARGV[5])
else redis.call('ZADD', leases, ARGV[3], 'split') end
if ARGV[7] ~= '' then redis.call('HSET', batch, 'callback', ARGV[7]) end
if #ARGV > 7 then redis.call('HSET', batch, 'state', 'RUNNING', 'started_at', ARGV[3]) end
redis.call('ZADD', open, ARGV[2], ARGV[1])
return 1
"""

# ARGV: step, now, lease end, maximum attempts.  The decision and the number of the attempt.
BEGIN = """
local step = ARGV[1]
if not state then return {'unknown', 0} end
if ended then return {'stopped', 0} end
if step == 'split' then
  if redis.call('HEXISTS', batch, 'total') == 1 then
    redis.call('ZREM', leases, step)
    return {'done', 0}
  end
elseif step ~= 'assemble' and redis.call('SISMEMBER', done, step) == 1 then
  redis.call('ZREM', leases, step)
  return {'done', 0}
end
if not wanted(step) then
  redis.call('ZREM', leases, step)
  return {'stopped', 0}
end
local attempt = redis.call('HINCRBY', tries, step, 1)
redis.call('HDEL', tries, 'sent:' .. step)
redis.call('ZADD', leases, ARGV[3], step)
redis.call('HSETNX', batch, 'started_at', ARGV[2])
redis.call('HSET', batch, 'state', 'RUNNING')
if attempt > tonumber(ARGV[4]) then return {'exhausted', attempt} end
return {'run', attempt}
"""

# ARGV: step, end of its lease, now.  1: the lease ends now, 0: it was renewed meanwhile.
EXPIRE = """
if tonumber(redis.call('ZSCORE', leases, ARGV[1]) or 'nan') ~= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', leases, ARGV[3], ARGV[1])
return 1
"""

# ARGV: chunks cut, total or "", lease end.
RECORD_SPLIT = """
if not state or ended then return 0 end
redis.call('HDEL', tries, 'split')
if tonumber(ARGV[1]) > tonumber(redis.call('HGET', batch, 'chunks_cut')) then
  redis.call('HSET', batch, 'chunks_cut', ARGV[1])
end
if ARGV[2] == '' then
  redis.call('ZADD', leases, 'XX', ARGV[3], 'split')
else
  redis.call('HSET', batch, 'total', ARGV[2])
  redis.call('ZREM', leases, 'split')
end
return 1
"""

# ARGV: chunk, valid, invalid, failed, error or "", id, channel of progress.
# 1: done now, 0: was done, or the batch is unknown.
FINISH_CHUNK = """
if not state or ended then return 0 end
redis.call('ZREM', leases, ARGV[1])
redis.call('HDEL', tries, ARGV[1])
if redis.call('SADD', done, ARGV[1]) == 0 then return 0 end
redis.call('HINCRBY', batch, 'valid', ARGV[2])
redis.call('HINCRBY', batch, 'invalid', ARGV[3])
redis.call('HINCRBY', batch, 'failed', ARGV[4])
redis.call('HSET', batch, 'highest', math.max(highest, tonumber(ARGV[1])))
if ARGV[5] ~= '' and not known[3] then redis.call('HSET', batch, 'error', ARGV[5]) end
redis.call('PUBLISH', ARGV[7], ARGV[6])
return 1
"""

# ARGV: step, lease end, 1 if the attempt does not count.
POSTPONE = """
if not state or ended then return 0 end
if ARGV[3] == '1' and redis.call('HINCRBY', tries, ARGV[1], -1) < 0 then
  redis.call('HDEL', tries, ARGV[1])
end
return redis.call('ZADD', leases, 'XX', ARGV[2], ARGV[1])
"""

# ARGV: lease end, window.  Chunks to send, then -1 if the assemble step is due.
ADVANCE = """
if not state or ended then return {} end
local under_way = redis.call('ZCARD', leases)
if redis.call('ZSCORE', leases, 'assemble') then return {} end
if redis.call('ZSCORE', leases, 'split') then under_way = under_way - 1 end
local cut = tonumber(redis.call('HGET', batch, 'chunks_cut'))
if stopping then
  cut = known[3] == 'attempts-exhausted' and 0 or math.min(cut, highest + 1)
end
local next = tonumber(redis.call('HGET', batch, 'next_chunk'))
local send = {}
while under_way < tonumber(ARGV[2]) and next < cut do
  if redis.call('SISMEMBER', done, next) == 0 then
    redis.call('ZADD', leases, ARGV[1], next)
    send[#send + 1] = next
    under_way = under_way + 1
  end
  next = next + 1
end
redis.call('HSET', batch, 'next_chunk', next)
local is_over = redis.call('HEXISTS', batch, 'total') == 1 and redis.call('SCARD', done) == cut
if stopping then is_over = redis.call('ZCARD', leases) == 0 end
if is_over then
  redis.call('ZADD', leases, ARGV[1], 'assemble')
  send[#send + 1] = -1
end
return send
"""

# ARGV: now, lease seconds, maximum steps, id.  Steps to send again; each resend doubles the lease,
# up to 32 times its length. A lease that ends later was set before the clock was set back.
OVERDUE = """
if not state or ended then
  redis.call('DEL', leases, tries, done)
  redis.call('ZREM', open, ARGV[4])
  return {}
end
local send = {}
local late = redis.call('ZRANGE', leases, '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[3])
local latest = ARGV[1] + 33 * ARGV[2]
for _, step in ipairs(redis.call('ZRANGE', leases, latest, '+inf', 'BYSCORE')) do
  late[#late + 1] = step
end
for _, step in ipairs(late) do
  if not wanted(step) then
    redis.call('ZREM', leases, step)
  else
    local sent = redis.call('HINCRBY', tries, 'sent:' .. step, 1)
    local wait = tonumber(ARGV[2]) * 2 ^ math.min(sent - 1, 5)
    redis.call('ZADD', leases, tonumber(ARGV[1]) + wait, step)
    send[#send + 1] = step
  end
end
return send
"""

# ARGV: error.
ABORT = """
if not state or ended then return 0 end
redis.call('ZREM', leases, 'split')
redis.call('HSET', batch, 'error', ARGV[1])
return 1
"""

# 1: recorded, 0: nothing to cancel.
CANCEL = """
if not state or ended then return 0 end
redis.call('HSET', batch, 'cancel_requested', 1)
return 1
"""

# ARGV: id, state, outcome, finished at, error, seconds to keep, channel, total or "", valid,
# invalid, failed.  1: ended now.
FINISH = (
    RECORD_END
    + """
redis.call('ZREM', open, ARGV[1])
redis.call('DEL', done, leases, tries)
if not state or ended then return 0 end
redis.call('HSET', batch, 'state', ARGV[2], 'outcome', ARGV[3], 'finished_at', ARGV[4],
           'error', ARGV[5])
redis.call('EXPIRE', batch, ARGV[6])
local callback, caller, accepted_at, started_at = unpack(redis.call('HMGET', batch, 'callback',
  'caller', 'accepted_at', 'started_at'))
if callback then
  record_webhook(callback, {kind = 'batch', id = ARGV[1], state = ARGV[2], outcome = ARGV[3],
                            error = ARGV[5], caller = caller, created_at = accepted_at,
                            started_at = started_at, finished_at = ARGV[4], total = ARGV[8],
                            valid = ARGV[9], invalid = ARGV[10], failed = ARGV[11]})
end
redis.call('PUBLISH', ARGV[7], ARGV[1])
return 1
"""
)

# Without `HEAD`.  KEYS: batches of the caller, their bytes.  ARGV: batch, oldest id that is kept,
# seconds to keep.  The oldest are removed first: a batch that still exists stays, however old.
LIST_BATCH = """
for _, old in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], '-', '(' .. ARGV[2])) do
  redis.call('ZREM', KEYS[1], old)
  redis.call('HDEL', KEYS[2], old)
end
redis.call('ZADD', KEYS[1], 0, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
"""

# Without `HEAD`.  KEYS: batches of the caller, their bytes.  ARGV: batch, bytes.  A batch that is
# not listed was deleted meanwhile.
RECORD_BYTES = """
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  redis.call('EXPIRE', KEYS[2], redis.call('TTL', KEYS[1]))
end
"""
