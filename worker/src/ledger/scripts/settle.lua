-- Settles steps: writes down what became of each, if its claim still holds.
--
-- In one atomic act per step: checks the fence (a lease is named <fence>:<job id>); replaces the
-- record; puts the job back into a lane or ends it, and then the event, the follow-ups and the
-- indexes go with it; ends the lease; and moves the limits that all pods share. A step whose job was
-- claimed anew changes nothing.
-- Asked again after a lost reply, it answers as the first time and does nothing twice.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[…]  step after step:
--   id, fence, '1' if the record cannot have been swept yet, deadline (Unix ms), phase, record,
--   pressure: 'none', 'accepted', 'up', 'down', 'lost', or 'saturated' with a space and its pause in ms,
--   then: 'submit' or 'poll', delay ms
--     or: 'end', type, code, kind, task, status, image url, data, pace class, ms that the task ran (0: not
--     known), ms until the task is looked at once more ('': never), number of follow-ups, job JSON …
-- Returns a digit for each step: 1 written, 2 was written before, 0 the fence is stale, 4 the record is
--   gone, 3 Redis had lost the claim or the record, and has it again

local P = KEYS[1]
local SUBMIT, LATER, POLL = P .. 'due:submit', P .. 'due:later', P .. 'due:poll'
local LEASES, DEADLINES, UPSTREAM = P .. 'leases', P .. 'deadlines', P .. 'upstream'
local EVENTS, ENDED = P .. 'events', P .. 'ended'

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Writes to the sorted sets are gathered and made at the end, one command for each set.
local adds, removes = {}, {}
local function add(set, score, id)
  local members = adds[set] or {}
  adds[set] = members
  members[#members + 1] = string.format('%d', score)
  members[#members + 1] = id
end
local function remove(set, id)
  local members = removes[set] or {}
  removes[set] = members
  members[#members + 1] = id
end

local upstream
local function upstream_field(name)
  upstream = upstream or redis.call('HMGET', UPSTREAM, 'down', 'down_until_ms', 'limit', 'lowered_ms', 'lost', 'cause')
  return tonumber(upstream[name] or 0)
end
local DOWN, DOWN_UNTIL, LIMIT, LOWERED, LOST, CAUSE = 1, 2, 3, 4, 5, 6

-- Lost answers in a row, over all pods, that open the breaker. Each may be a charge that nobody gets, so
-- there must not be many more; a few are usual when a relay restarts, or a pod's network breaks off.
local RUN = 20

-- Additive increase, multiplicative decrease, between 1 and whatever was open when it got too much.
-- The breaker opens with the first 'down' and doubles its pause, from 2 s to 30 s; and with a run of
-- 'lost', whose pauses are from 1 s to 10 s. What opened it keeps its pauses when a probe fares worse.
local function open(pressure, down)
  local is_probe = redis.call('HDEL', UPSTREAM, 'probing') == 1
  -- Answers to requests that left before the breaker opened say nothing new.
  if down > 0 and upstream_field(DOWN_UNTIL) > now and not is_probe then return end
  local cause = pressure
  if down > 0 and pressure == 'lost' then cause = upstream[CAUSE] or 'down' end
  if cause ~= upstream[CAUSE] then down = 0 end
  local wait = math.min(30000, 1000 * 2 ^ math.min(down + 1, 5))
  if cause == 'lost' then wait = math.min(10000, 1000 * 2 ^ math.min(down, 4)) end
  upstream[DOWN], upstream[DOWN_UNTIL], upstream[CAUSE] = down + 1, now + wait, cause
  redis.call('HSET', UPSTREAM, 'down', down + 1, 'down_until_ms', string.format('%d', now + wait), 'cause', cause)
end

local function press(pressure)
  if pressure == 'none' then return end
  local down, limit = upstream_field(DOWN), upstream_field(LIMIT)
  if pressure == 'down' then return open(pressure, down) end
  if pressure == 'lost' then
    upstream[LOST] = upstream_field(LOST) + 1
    redis.call('HSET', UPSTREAM, 'lost', upstream[LOST])
    if down > 0 or upstream[LOST] >= RUN then open(pressure, down) end
    return
  end
  if down > 0 then
    upstream[DOWN], upstream[DOWN_UNTIL], upstream[CAUSE] = 0, 0, false
    redis.call('HDEL', UPSTREAM, 'down', 'down_until_ms', 'probing', 'cause')
  end
  if upstream_field(LOST) > 0 then
    upstream[LOST] = 0
    redis.call('HDEL', UPSTREAM, 'lost')
  end
  if pressure == 'accepted' and limit > 0 then
    upstream[LIMIT] = limit + 1 / limit
    if limit > 10000 then
      upstream[LIMIT] = 0
      redis.call('HDEL', UPSTREAM, 'limit')
    else
      redis.call('HSET', UPSTREAM, 'limit', string.format('%.4f', upstream[LIMIT]))
    end
  elseif string.sub(pressure, 1, 9) == 'saturated' then
    -- Many refusals of one moment are one sign, not many.
    if now - upstream_field(LOWERED) >= 1000 then
      local open = redis.call('ZCARD', POLL) + redis.call('ZCARD', LEASES)
      local from = (limit > 0 and limit < open) and limit or open
      upstream[LIMIT], upstream[LOWERED] = math.max(1, from * 0.8), now
      redis.call('HSET', UPSTREAM, 'limit', string.format('%.4f', upstream[LIMIT]), 'lowered_ms', now)
    end
    local pause_ms = tonumber(string.sub(pressure, 11))
    if pause_ms > 0 then redis.call('HSET', UPSTREAM, 'gate_ms', string.format('%d', now + pause_ms)) end
  end
end

-- A step is where its arguments begin: a table for each would cost more than all that is done with it.
local VERB = 7
local steps, leases = {}, {}
do
  local at = 1
  while at <= #ARGV do
    steps[#steps + 1] = at
    leases[#leases + 1] = ARGV[at + 1] .. ':' .. ARGV[at]
    at = at + VERB + (ARGV[at + VERB] == 'end' and 12 + ARGV[at + VERB + 11] or 2)
  end
end
-- On a full memory Redis refuses a script only until its first write, so this one comes first: what
-- has begun must be written down.
redis.call('DEL', P .. 'room')
local held = #leases > 0 and redis.call('ZMSCORE', LEASES, unpack(leases)) or {}

-- What ended, counted: one command each at the end.
local totals, paces = {}, {}

local function finish(id, fence, phase, record, key, at)
  local kind, code, kind_of_job, task, status, image_url, data, class, ran_ms, revisit_ms = unpack(ARGV, at, at + 9)
  local identity, shown = unpack(redis.call('HMGET', key, 'i', 'shown'))
  local entry = redis.call('XADD', EVENTS, '*', 'v', '1', 'type', kind, 'job', id, 'kind', kind_of_job,
    'state', identity and string.match(identity, '^%S+ %S+ (.*)$') or '', 'task', task, 'status', status, 'code', code,
    'image_url', image_url, 'data', data)
  for i = at + 11, at + 10 + ARGV[at + 10] do redis.call('XADD', P .. 'jobs', '*', 'v', '1', 'job', ARGV[i]) end
  redis.call('HSET', key, 'f', fence, 'p', phase, 'r', record, 'ev', entry)
  -- Only what has failed or was cancelled can be tried once more: nobody needs these pictures again.
  if shown and kind == 'completed' then redis.call('HDEL', key, 'large') end
  remove(DEADLINES, id)
  add(ENDED, now, id)
  if kind == 'failed' then add(P .. 'failed', now, id) end
  if revisit_ms ~= '' then add(P .. 'late', now + revisit_ms, id) end
  if ran_ms ~= '0' then
    paces[class] = paces[class] or {}
    table.insert(paces[class], ran_ms)
  end
  local outcome = kind .. ':' .. code
  totals[outcome] = (totals[outcome] or 0) + 1
end

local function put_back(id, fence, phase, record, key, verb, delay_ms)
  redis.call('HSET', key, 'f', fence, 'p', phase, 'r', record)
  if verb == 'poll' then
    add(POLL, now + delay_ms, id)
  elseif tonumber(delay_ms) > 0 then
    add(LATER, now + delay_ms, id)
  else
    add(SUBMIT, string.match(redis.call('HGET', key, 'i') or '', '^%S+ (%S+)') or now, id)
  end
end

-- The answer to a step whose claim does not hold; 3 if it is to be written all the same.
local function missed(id, name, is_recent, deadline, written, key)
  local last, reclaim, record = unpack(redis.call('HMGET', key, 'f', 'rn', 'r'))
  local fence = tonumber(name)
  -- Whoever takes a claim over leaves its fence behind: a claim that is newer than what Redis knows is
  -- one that Redis has lost; and so is a record that is gone before its time.
  if last and tonumber(last) < fence or not last and is_recent == '1' then
    -- What the pod knows counts, or the job would be submitted again.
    for _, lane in ipairs({ SUBMIT, LATER, POLL }) do redis.call('ZREM', lane, id) end
    if last then remove(LEASES, string.format('%d:', last + 1) .. id) end
    redis.call('ZADD', DEADLINES, deadline, id)
    totals.suspected_rollback = (totals.suspected_rollback or 0) + 1
    return 3
  end
  if not last then return 4 end
  -- A later reclaim leaves the fence of the claim that it took back.
  if tonumber(last) ~= fence or tonumber(reclaim or 0) > fence then return 0 end
  if record == written then return 2 end
  -- Two claims under one fence: Redis had forgotten the first, and gave the job out again.
  totals.suspected_rollback = (totals.suspected_rollback or 0) + 1
  return 0
end

local function settle(at, lease, is_held)
  local id, fence, is_recent, deadline, phase, record, pressure, verb, delay_ms = unpack(ARGV, at, at + 8)
  local key, result = P .. 'job:' .. id, 1
  if is_held then
    remove(LEASES, lease)
  else
    result = missed(id, fence, is_recent, deadline, record, key)
    if result ~= 3 then return result end
  end
  press(pressure)
  if verb == 'end' then
    finish(id, fence, phase, record, key, at + VERB + 1)
  else
    put_back(id, fence, phase, record, key, verb, delay_ms)
  end
  return result
end

local results = {}
for i, at in ipairs(steps) do
  results[i] = settle(at, leases[i], held[i])
end
for set, members in pairs(removes) do redis.call('ZREM', set, unpack(members)) end
for set, members in pairs(adds) do redis.call('ZADD', set, unpack(members)) end
for name, count in pairs(totals) do redis.call('HINCRBY', P .. 'totals', name, count) end
for class, times in pairs(paces) do
  if redis.call('LPUSH', P .. 'pace:' .. class, unpack(times)) > 128 then
    redis.call('LTRIM', P .. 'pace:' .. class, 0, 63)
  end
end
return table.concat(results)
