"""Lua scripts of webhooks, each atomic. They end accepted work, and so have `ALLOW_OOM`.

A receiver is `<caller>:<digest of scheme, host and port>`, so that callers of one host do not stop
each other. A webhook that is being sent stays in its receiver's set, with the end of its lease as
its time: if its sender dies, it is due again then.
"""

from shared.redis import keys
from shared.redis.connections import ALLOW_OOM

CIRCUIT_THRESHOLD = 5
"""Failures in succession after which a receiver is tried with one webhook at a time."""

CIRCUIT_QUIET_S = 10
"""It is not, while it has answered one within this time: a receiver that fails half of the time has
such successions, too, and would be paused more and more."""

CIRCUIT_FIRST_S, CIRCUIT_LONGEST_S = 10, 900
"""Pause of such a receiver: it doubles with each further failure."""

CALLER_PAUSE_S = 0.05
"""A receiver whose caller has all its places is looked at again after this time, and after the
receivers of others: a caller may have thousands of them."""

STATE_TTL_S, WELL_TTL_S = 2 * 86_400, 60

# Part of the scripts that end a job or batch, without KEYS and ARGV. `end` are the members of
# `shared.redis.webhooks.records.RecordedEnd`; `callback` is the packed one of the record.
RECORD_END = f"""
local function record_webhook(callback, ended)
  ended.callback = callback
  redis.call('RPUSH', '{keys.ENDED_WITH_CALLBACK}', cmsgpack.pack(ended))
end
"""

# Part of scripts that list webhooks as given up. What is too old is forgotten, then the oldest as
# long as there are too many: those of `caller` if it has more than half of them, so that a caller
# whose receivers are dead does not push out those of all others.  Returns how many were too many.
DROP_OLDEST = f"""
local function drop_oldest(caller, since, most)
  local all, own = '{keys.WEBHOOKS_FAILED}', '{keys.webhooks_failed_of("")}' .. caller
  redis.call('ZREMRANGEBYSCORE', all, '-inf', since)
  redis.call('ZREMRANGEBYSCORE', own, '-inf', since)
  local dropped = 0
  while redis.call('ZCARD', all) > most do
    local from = redis.call('ZCARD', own) > most / 2 and own or all
    local id = redis.call('ZPOPMIN', from)[1]
    if from == all or redis.call('ZREM', all, id) == 1 then
      redis.call('DEL', '{keys.webhook("")}' .. id)
      dropped = dropped + 1
    end
  end
  return dropped
end
"""

_HEAD = (
    ALLOW_OOM
    + f"""
local RECEIVERS, DEADLINES = '{keys.WEBHOOK_RECEIVERS}', '{keys.WEBHOOK_DEADLINES}'
local FAILED, WELL_TTL_S = '{keys.WEBHOOKS_FAILED}', {WELL_TTL_S}
local function record_of(id) return '{keys.webhook("")}' .. id end
local function queue_of(receiver) return '{keys.webhooks_of("")}' .. receiver end
local function failed_of(caller) return '{keys.webhooks_failed_of("")}' .. caller end
local function state_of(receiver) return '{keys.webhook_receiver("")}' .. receiver end
-- Sets when the receiver is looked at next: not before `earliest`, so that those that were just
-- served come after the others.
local function reschedule(receiver, earliest)
  local first = redis.call('ZRANGE', queue_of(receiver), 0, 0, 'WITHSCORES')
  if #first == 0 then
    redis.call('ZREM', RECEIVERS, receiver)
    return
  end
  local paused = tonumber(redis.call('HGET', state_of(receiver), 'paused_until') or 0)
  redis.call('ZADD', RECEIVERS, math.max(tonumber(first[2]), paused, earliest), receiver)
end
local function note_answer(receiver, now)
  local state = state_of(receiver)
  redis.call('HDEL', state, 'failures', 'paused_until', 'paused_at')
  redis.call('HSET', state, 'answered_at', now)
  redis.call('EXPIRE', state, WELL_TTL_S)
end
local function remove(receiver, id)
  redis.call('ZREM', DEADLINES, id)
  return redis.call('ZREM', queue_of(receiver), id)
end
"""
)

# ARGV: for each end: the entry of the list, id, receiver, record, time at which it is due, time at
# which it is given up, seconds for which the record is kept.  An entry that another sender has
# taken is left out.
TAKE_IN = (
    _HEAD
    + f"""
local taken = 0
for i = 1, #ARGV, 7 do
  if redis.call('LREM', '{keys.ENDED_WITH_CALLBACK}', 1, ARGV[i]) > 0 then
    local id, receiver = ARGV[i + 1], ARGV[i + 2]
    redis.call('SET', record_of(id), ARGV[i + 3], 'EX', ARGV[i + 6])
    redis.call('ZADD', DEADLINES, ARGV[i + 5], id)
    redis.call('ZADD', queue_of(receiver), ARGV[i + 4], id)
    reschedule(receiver, 0)
    taken = taken + 1
  end
end
return taken
"""
)

# ARGV: now, end of the lease, how many, places of a receiver, places of a caller, receivers to look
# at, then names of receivers and callers with the places that they have taken.
# Returns receiver, id and record of each; one at most per receiver, so that all have their turn.
CLAIM = (
    _HEAD
    + f"""
local now, lease, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local used, claimed = {{}}, {{}}
for i = 7, #ARGV, 2 do used[ARGV[i]] = tonumber(ARGV[i + 1]) end
local due = redis.call('ZRANGE', RECEIVERS, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[6])
for _, receiver in ipairs(due) do
  if #claimed >= 3 * most then break end
  local caller = receiver:match('^(.*):')
  -- A caller takes no more places than it leaves: there is one for a caller who has none.
  local left = most - #claimed / 3
  if (used[caller] or 0) >= math.min(tonumber(ARGV[5]), left) then
    redis.call('ZADD', RECEIVERS, now + {CALLER_PAUSE_S}, receiver)
  elseif (used[receiver] or 0) < tonumber(ARGV[4]) then
    local found = redis.call('ZRANGE', queue_of(receiver), '-inf', now, 'BYSCORE', 'LIMIT', 0, 1)
    local id = found[1]
    local record = id and redis.call('GET', record_of(id))
    if record then
      redis.call('ZADD', queue_of(receiver), lease, id)
      claimed[#claimed + 1] = receiver
      claimed[#claimed + 1] = id
      claimed[#claimed + 1] = record
      used[caller] = (used[caller] or 0) + 1
      if redis.call('HEXISTS', state_of(receiver), 'paused_at') == 1 then
        redis.call('HSET', state_of(receiver), 'paused_until', lease)
      end
    elseif id then
      remove(receiver, id)
    end
    reschedule(receiver, now)
  end
end
return claimed
"""
)

# ARGV: receiver, id, now, 1 if the receiver is well.  1: this call has ended it.
END = (
    _HEAD
    + """
local removed = remove(ARGV[1], ARGV[2])
redis.call('DEL', record_of(ARGV[2]))
if ARGV[4] == '1' then note_answer(ARGV[1], ARGV[3]) end
reschedule(ARGV[1], ARGV[4] == '1' and 0 or tonumber(ARGV[3]))
return removed
"""
)

# ARGV: receiver, id, now, time at which it is due, record, 1 if the receiver has failed (0: it
# answered), pause of the receiver that it asked for, factor of the pause, start of the attempt.  An
# attempt that began before the pause says nothing new.
RETRY = (
    _HEAD
    + f"""
local receiver, id, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
local state = state_of(receiver)
if ARGV[6] == '1' then
  local known = redis.call('HMGET', state, 'paused_until', 'paused_at', 'answered_at')
  local pause_end = now + ARGV[7]
  if tonumber(ARGV[9]) >= tonumber(known[2] or 0) then
    local failures = redis.call('HINCRBY', state, 'failures', 1)
    local is_quiet = now - tonumber(known[3] or 0) >= {CIRCUIT_QUIET_S}
    if failures >= {CIRCUIT_THRESHOLD} and is_quiet then
      local doubled = {CIRCUIT_FIRST_S} * 2 ^ math.min(failures - {CIRCUIT_THRESHOLD}, 20)
      pause_end = math.max(pause_end, now + math.min(doubled, {CIRCUIT_LONGEST_S}) * ARGV[8])
      redis.call('HSET', state, 'paused_at', now)
    end
  else
    pause_end = math.max(pause_end, tonumber(known[1] or 0))
  end
  redis.call('HSET', state, 'paused_until', pause_end)
  redis.call('EXPIRE', state, {STATE_TTL_S})
else
  note_answer(receiver, now)
end
if redis.call('ZSCORE', queue_of(receiver), id) then
  redis.call('ZADD', queue_of(receiver), ARGV[4], id)
  redis.call('SET', record_of(id), ARGV[5], 'XX', 'KEEPTTL')
end
reschedule(receiver, now)
"""
)

# ARGV: receiver, id, now, record, seconds to keep it, most webhooks that are kept.
# Returns how many others were dropped; false: another process has ended it before.
GIVE_UP = (
    _HEAD
    + DROP_OLDEST
    + """
local removed = remove(ARGV[1], ARGV[2])
reschedule(ARGV[1], 0)
if removed == 0 then return false end
local caller = ARGV[1]:match('^(.*):')
redis.call('SET', record_of(ARGV[2]), ARGV[4], 'EX', ARGV[5])
redis.call('ZADD', FAILED, ARGV[3], ARGV[2])
redis.call('ZADD', failed_of(caller), ARGV[3], ARGV[2])
redis.call('EXPIRE', failed_of(caller), ARGV[5])
return drop_oldest(caller, ARGV[3] - ARGV[5], tonumber(ARGV[6]))
"""
)

# ARGV: receiver, id, now, record, time at which it is given up, seconds to keep the record.
# 1: it is due now, 0: it is neither pending nor listed.
REPLAY = (
    _HEAD
    + """
local receiver, id = ARGV[1], ARGV[2]
local was_listed = redis.call('ZREM', FAILED, id) == 1
redis.call('ZREM', failed_of(receiver:match('^(.*):')), id)
if not was_listed and not redis.call('ZSCORE', DEADLINES, id) then return 0 end
redis.call('SET', record_of(id), ARGV[4], 'EX', ARGV[6])
redis.call('ZADD', DEADLINES, ARGV[5], id)
redis.call('ZADD', queue_of(receiver), ARGV[3], id)
redis.call('DEL', state_of(receiver))
reschedule(receiver, 0)
return 1
"""
)
