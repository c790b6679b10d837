"""Lua scripts of the fair queue: each change is one atomic script that also dispatches what is due.

Scheduling is start-time fair queueing. Each caller has a tag, the virtual time at which its next
item may start. The caller with the lowest tag is served, the virtual time becomes its tag, and its
tag grows by the item's cost divided by the caller's weight. A caller without work keeps its tag in
`idle` until the virtual time has passed it, or nothing waits or runs any more.

`HEAD` precedes every script. KEYS of all scripts: prefix of the queue's keys, weights of callers.
The other names are built from the prefix: the queue lives on one server. ARGV of all scripts: Unix
time, 1 if the items in flight are known by caller. Without that, only their number is limited, and
an item that need not wait costs three more commands than sending it.

An item stands for one step or for some jobs, its members. Waiting items of a caller that stand for
jobs are sent as one message, so that messages become larger as work comes faster than it is done.
"""

ID_SEPARATOR = r"\",\""
"""Stands between the ids of jobs in a message, which holds JSON in a JSON string."""

MAX_JOBS, MAX_EFFORT = 64, 200
"""Limits of a message of several items: jobs, and their effort in cars without extras. All jobs of
a message end together, so this is what a job waits for the others: some 15 ms."""

HEAD = """
local prefix, weights, now = KEYS[1], KEYS[2], tonumber(ARGV[1])
local knows_callers = ARGV[2] == '1'
local items, waiting, counts = prefix .. 'items', prefix .. 'waiting', prefix .. 'counts'
local flight, running, tokens = prefix .. 'flight', prefix .. 'running', prefix .. 'tokens'
local idle, clock, recent = prefix .. 'idle', prefix .. 'clock', prefix .. 'recent'
local members = prefix .. 'members'
local ready = {quick = prefix .. 'ready:quick', slow = prefix .. 'ready:slow'}
local RECENT_S, WORKER_TIMEOUT_S, DEFAULT_PLACES, LONGEST_LEASE_S = 2, 15, 4, 7200

local function groups_of(class, caller) return prefix .. 'groups:' .. class .. ':' .. caller end
local function items_of(class, caller, group)
  return prefix .. 'group:' .. class .. ':' .. caller .. ':' .. group
end
local function virtual_time() return tonumber(redis.call('GET', clock) or '0') end
local function tag_of(caller)
  for _, set in ipairs({ready.quick, ready.slow, idle}) do
    local tag = redis.call('ZSCORE', set, caller)
    if tag then return tonumber(tag) end
  end
end
local function set_tag(caller, tag)
  local is_active = false
  for _, set in pairs(ready) do
    if redis.call('ZSCORE', set, caller) then
      redis.call('ZADD', set, tag, caller)
      is_active = true
    end
  end
  if not is_active then redis.call('ZADD', idle, tag, caller) end
end
local function forget(token)
  redis.call('ZREM', flight, token)
  if not knows_callers then return nil end
  local packed = redis.call('HGET', running, token)
  if not packed then return nil end
  redis.call('HDEL', running, token)
  local entry = cmsgpack.unpack(packed)
  if redis.call('HGET', tokens, entry.id) == token then redis.call('HDEL', tokens, entry.id) end
  return entry
end
local function count_places()
  local places = 0
  local found = redis.call('HGETALL', prefix .. 'workers')
  for i = 1, #found, 2 do
    local count, at = string.match(found[i + 1], '^(%d+):(.+)$')
    if math.abs(now - tonumber(at)) < WORKER_TIMEOUT_S then places = places + tonumber(count)
    else redis.call('HDEL', prefix .. 'workers', found[i]) end
  end
  return places > 0 and places or DEFAULT_PLACES
end
local function members_of(item) return item.ids or {item.id} end
local function each_with(value, list)
  local found = {}
  for _, one in ipairs(list) do
    table.insert(found, value)
    table.insert(found, one)
  end
  return unpack(found)
end
-- Names other jobs in the message of an item; false if the message does not have the expected form.
local function set_ids(item, ids)
  local from, to = item.message:find(table.concat(item.ids, SEPARATOR), 1, true)
  if not from then return false end
  local head, tail = item.message:sub(1, from - 1), item.message:sub(to + 1)
  item.message, item.ids = head .. table.concat(ids, SEPARATOR) .. tail, ids
  return true
end
-- Takes the next item of a caller; nothing if it does not fit into the message of `first`.
local function pop(class, caller, first)
  local groups = groups_of(class, caller)
  local group = redis.call('LINDEX', groups, 0)
  if not group then return nil end
  local list = items_of(class, caller, group)
  local item = cmsgpack.unpack(redis.call('HGET', items, redis.call('LINDEX', list, 0)))
  if first and not (item.ids and item.queue == first.queue
      and #item.ids + first.count <= MAX_JOBS and item.effort + first.effort <= MAX_EFFORT) then
    return nil
  end
  redis.call('LPOP', groups)
  redis.call('LPOP', list)
  if redis.call('EXISTS', list) == 1 then redis.call('RPUSH', groups, group) end
  redis.call('HDEL', items, item.id)
  redis.call('ZREM', waiting, item.id)
  local own = members_of(item)
  redis.call('ZREM', members, unpack(own))
  if redis.call('HINCRBY', counts, caller, -#own) <= 0 then redis.call('HDEL', counts, caller) end
  return item
end
-- Adds the items to an item that fit into its message.
local function fill(item, class, caller)
  local ids = {unpack(item.ids)}
  item.count = #ids
  while true do
    local other = pop(class, caller, item)
    if not other then break end
    for _, id in ipairs(other.ids) do table.insert(ids, id) end
    item.count, item.effort = #ids, item.effort + other.effort
    item.cost, item.lease = item.cost + other.extra, math.max(item.lease, other.lease)
  end
  if item.count > #item.ids then set_ids(item, ids) end
end
local function take(class, caller)
  local tag = tonumber(redis.call('ZSCORE', ready[class], caller))
  local item = pop(class, caller)
  if item.ids then fill(item, class, caller) end
  if redis.call('EXISTS', groups_of(class, caller)) == 0 then
    redis.call('ZREM', ready[class], caller)
  end
  local start = math.max(tag, virtual_time())
  local weight = tonumber(redis.call('HGET', weights, caller) or '1')
  redis.call('SET', clock, start)
  set_tag(caller, start + item.cost / weight)
  if knows_callers then
    local entry = {id = item.id, caller = caller, class = class, cost = item.cost, weight = weight}
    redis.call('HSET', running, item.token, cmsgpack.pack(entry))
    redis.call('HSET', tokens, item.id, item.token)
  end
  redis.call('ZADD', flight, now + item.lease, item.token)
  redis.call('ZADD', recent, now, caller)
  redis.call('LPUSH', item.queue, item.message)
end
local function expire_leases()
  for _, token in ipairs(redis.call('ZRANGEBYSCORE', flight, '-inf', now)) do forget(token) end
  -- A lease that ends later than any valid one was given before the clock was set back.
  for _, token in ipairs(redis.call('ZRANGEBYSCORE', flight, now + LONGEST_LEASE_S, '+inf')) do
    forget(token)
  end
end
local function end_busy_period()
  local latest = redis.call('ZRANGE', idle, -1, -1, 'WITHSCORES')[2]
  if latest then redis.call('SET', clock, math.max(virtual_time(), tonumber(latest))) end
  redis.call('DEL', idle)
end
local function dispatch()
  if redis.call('ZCARD', waiting) == 0 then
    redis.call('DEL', members, counts)  -- scripts of earlier releases leave some
    if redis.call('EXISTS', idle) == 1 and redis.call('EXISTS', flight) == 0 then
      end_busy_period()
    end
    return 0
  end
  expire_leases()
  redis.call('ZREMRANGEBYSCORE', recent, '-inf', now - RECENT_S)
  redis.call('ZREMRANGEBYSCORE', recent, now + RECENT_S, '+inf')
  redis.call('ZREMRANGEBYSCORE', idle, '-inf', virtual_time())
  local places, total, slow, held, sent = count_places(), redis.call('ZCARD', flight), 0, {}, 0
  for _, packed in ipairs(redis.call('HVALS', running)) do
    local entry = cmsgpack.unpack(packed)
    held[entry.caller] = (held[entry.caller] or 0) + 1
    if entry.class == 'slow' then slow = slow + 1 end
  end
  local reserved = math.max(1, places - 1)
  local function is_alone(caller)
    for _, set in ipairs({recent, ready.quick, ready.slow}) do
      local own = redis.call('ZSCORE', set, caller) and 1 or 0
      if redis.call('ZCARD', set) > own then return false end
    end
    return true
  end
  local function may_start(class, caller)
    if class == 'slow' and slow >= reserved then return false end
    return (held[caller] or 0) < reserved or is_alone(caller)
  end
  while total < places do
    local class, caller, lowest
    for _, each in ipairs({'quick', 'slow'}) do
      -- At most one caller holds all places but one, so the first or the second may start.
      local found = redis.call('ZRANGE', ready[each], 0, 1, 'WITHSCORES')
      for i = 1, #found, 2 do
        local tag = tonumber(found[i + 1])
        if (not lowest or tag < lowest) and may_start(each, found[i]) then
          class, caller, lowest = each, found[i], tag
        end
      end
    end
    if not caller then break end
    take(class, caller)
    total, sent = total + 1, sent + 1
    held[caller] = (held[caller] or 0) + 1
    if class == 'slow' then slow = slow + 1 end
  end
  return sent
end
""".replace("SEPARATOR", f"[[{ID_SEPARATOR}]]")
HEAD = HEAD.replace("MAX_JOBS", str(MAX_JOBS)).replace("MAX_EFFORT", str(MAX_EFFORT))

# ARGV[3]: the item.  1: entered, 0: it waits already, with all its jobs.  An item that is in flight
# was lost, or is to run again: it takes the place of the one before, at the front of its group.
ENTER = """
local item = cmsgpack.unpack(ARGV[3])
if not knows_callers and redis.call('ZCARD', waiting) == 0
    and redis.call('ZCARD', flight) < count_places() then
  redis.call('ZADD', flight, now + item.lease, item.token)
  redis.call('LPUSH', item.queue, item.message)
  return 1
end
if redis.call('HEXISTS', items, item.id) == 1 then return 0 end
if item.ids then
  local new = {}
  for _, id in ipairs(item.ids) do
    if not redis.call('ZSCORE', members, id) then table.insert(new, id) end
  end
  if #new == 0 then return 0 end
  if #new < #item.ids then set_ids(item, new) end
end
local lost = redis.call('HGET', tokens, item.id)
if lost then forget(lost) end
local caller, class = item.caller, item.class
local tag = tag_of(caller) or virtual_time()
local own = members_of(item)
redis.call('HSET', items, item.id, cmsgpack.pack(item))
redis.call('ZADD', waiting, now, item.id)
redis.call('ZADD', members, each_with(now, own))
redis.call('HINCRBY', counts, caller, #own)
redis.call('ZADD', recent, now, caller)
redis.call('ZREM', idle, caller)
redis.call('ZADD', ready[class], 'NX', tag, caller)
local push = lost and 'LPUSH' or 'RPUSH'
local length = redis.call(push, items_of(class, caller, item.group), item.id)
if length == 1 then redis.call(push, groups_of(class, caller), item.group) end
dispatch()
return 1
"""

# ARGV[3], ARGV[4]: token, seconds that the item took or "".  The caller is charged what it took
# instead of what was expected.  The first command needs no memory, and a script that has written
# is not refused for the lack of it: work can be finished while the server is full.
RELEASE = """
local entry = forget(ARGV[3])
if entry then
  redis.call('ZADD', recent, now, entry.caller)
  local tag = tag_of(entry.caller)
  local difference = (tonumber(ARGV[4]) or entry.cost) - entry.cost
  if tag then set_tag(entry.caller, tag + difference / entry.weight)
  elseif difference > 0 then
    redis.call('ZADD', idle, virtual_time() + difference / entry.weight, entry.caller)
  end
end
return dispatch()
"""

# The number of items that were sent.
DISPATCH = "return dispatch()"

# ARGV[3]: packed tokens.  No other items count as in flight any more; the number of items sent.
FORGET_IN_FLIGHT = """
local kept = {}
for _, token in ipairs(cmsgpack.unpack(ARGV[3])) do kept[token] = true end
for _, token in ipairs(redis.call('ZRANGE', flight, 0, -1)) do
  if not kept[token] then forget(token) end
end
return dispatch()
"""
