-- Settles steps: writes down what became of each, if its claim still holds.
--
-- In one atomic act per step: checks the fence; replaces the record; puts the job back into a lane
-- or ends it, and then the event, the follow-ups and the indexes go with it; ends the lease; and
-- moves the limits that all pods share. A step whose job was claimed anew changes nothing.
-- Asked again after a lost reply, it answers as the first time and does nothing twice.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  retention of ended jobs, ms
-- ARGV[2…] step after step:
--   id, fence, '1' if the claim cannot have run out, deadline (Unix ms), phase, record,
--   pressure: 'none', 'accepted', 'up', 'saturated' or 'down', and its pause in ms,
--   then: 'submit' or 'poll', delay ms
--     or: 'end', type, code, kind, task, status, image url, data, pace class, ms that the task ran (0: not
--     known), number of follow-ups, job JSON …
-- Returns for each step: 1 written, 2 was written before, 0 the fence is stale, -1 the record is gone,
--   3 Redis had lost the claim or the record, and has it again

local P = KEYS[1]
local retention_ms = tonumber(ARGV[1])
local SUBMIT, LATER, POLL = P .. 'due:submit', P .. 'due:later', P .. 'due:poll'
local LEASES, DEADLINES, UPSTREAM = P .. 'leases', P .. 'deadlines', P .. 'upstream'

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Additive increase, multiplicative decrease, between 1 and whatever was open when it got too much.
-- The breaker opens with the first failure and doubles its pause, from 2 s to 2 min.
local function press(pressure, pause_ms)
  if pressure == 'none' then return end
  if pressure == 'down' then
    local down, until_ms = unpack(redis.call('HMGET', UPSTREAM, 'down', 'down_until_ms'))
    local is_probe = redis.call('HDEL', UPSTREAM, 'probing') == 1
    -- Answers to requests that left before the breaker opened say nothing new.
    if down and tonumber(until_ms or 0) > now and not is_probe then return end
    down = tonumber(down or 0) + 1
    local wait = math.min(120000, 1000 * 2 ^ math.min(down, 7))
    redis.call('HSET', UPSTREAM, 'down', down, 'down_until_ms', string.format('%.0f', now + wait))
    return
  end
  redis.call('HDEL', UPSTREAM, 'down', 'down_until_ms', 'probing')
  local limit, lowered_ms = unpack(redis.call('HMGET', UPSTREAM, 'limit', 'lowered_ms'))
  limit = tonumber(limit or 0)
  if pressure == 'accepted' and limit > 0 then
    if limit > 10000 then
      redis.call('HDEL', UPSTREAM, 'limit')
    else
      redis.call('HSET', UPSTREAM, 'limit', string.format('%.4f', limit + 1 / limit))
    end
  elseif pressure == 'saturated' then
    -- Many refusals of one moment are one sign, not many.
    if now - tonumber(lowered_ms or 0) >= 1000 then
      local open = redis.call('ZCARD', POLL) + redis.call('ZCARD', LEASES)
      local from = (limit > 0 and limit < open) and limit or open
      redis.call('HSET', UPSTREAM, 'limit', string.format('%.4f', math.max(1, from * 0.8)), 'lowered_ms', now)
    end
    if pause_ms > 0 then redis.call('HSET', UPSTREAM, 'gate_ms', string.format('%.0f', now + pause_ms)) end
  end
end

local at = 2
local function arg()
  at = at + 1
  return ARGV[at - 1]
end

local results = {}
while at <= #ARGV do
  local id, fence, is_certain, deadline, phase, record = arg(), arg(), arg() == '1', arg(), arg(), arg()
  local pressure, pause_ms, verb = arg(), tonumber(arg()), arg()
  local key = P .. 'job:' .. id
  local current, cancelled, state, score = unpack(redis.call('HMGET', key, 'f', 'c', 'st', 'sc'))
  local delay_ms, event, follow_ups
  if verb == 'end' then
    event = { arg(), arg(), arg(), arg(), arg(), arg(), arg(), arg(), arg() }
    follow_ups = {}
    for i = 1, tonumber(arg()) do follow_ups[i] = arg() end
  else
    delay_ms = tonumber(arg())
  end

  local result
  if is_certain and (not current or tonumber(current) < tonumber(fence)) then
    -- A claim that cannot have run out is newer than what Redis knows: Redis has lost its last
    -- writes. What the pod knows counts, or the job would be submitted again.
    result = 3
    redis.call('HSET', key, 'f', fence)
    redis.call('ZREM', SUBMIT, id)
    redis.call('ZREM', LATER, id)
    redis.call('ZREM', POLL, id)
    redis.call('ZREM', LEASES, id)
    redis.call('ZADD', DEADLINES, deadline, id)
    redis.call('HINCRBY', P .. 'totals', 'suspected_rollback', 1)
  elseif not current then
    redis.call('ZREM', LEASES, id)
    result = -1
  elseif current ~= fence then
    result = 0
  elseif redis.call('ZREM', LEASES, id) == 0 then
    result = 2
  else
    result = 1
  end
  if result == 1 or result == 3 then
    press(pressure, pause_ms)
    if verb == 'end' then
      local entry = redis.call('XADD', P .. 'events', '*', 'v', '1', 'type', event[1], 'job', id, 'kind', event[3],
        'state', state or '', 'task', event[4], 'status', event[5], 'code', event[2], 'image_url', event[6],
        'data', event[7])
      for _, job in ipairs(follow_ups) do redis.call('XADD', P .. 'jobs', '*', 'v', '1', 'job', job) end
      redis.call('HSET', key, 'p', phase, 'r', record, 'ev', entry)
      redis.call('PEXPIRE', key, retention_ms)
      redis.call('ZREM', DEADLINES, id)
      redis.call('ZADD', P .. 'ended', now, id)
      if event[9] ~= '0' and redis.call('LPUSH', P .. 'pace:' .. event[8], event[9]) > 128 then
        redis.call('LTRIM', P .. 'pace:' .. event[8], 0, 63)
      end
      redis.call('HINCRBY', P .. 'totals', event[1] .. ':' .. event[2], 1)
    else
      redis.call('HSET', key, 'p', phase, 'r', record)
      if cancelled then
        redis.call('ZADD', POLL, now, id)
      elseif verb == 'poll' then
        redis.call('ZADD', POLL, now + delay_ms, id)
      elseif delay_ms > 0 then
        redis.call('ZADD', LATER, now + delay_ms, id)
      else
        redis.call('ZADD', SUBMIT, score or now, id)
      end
    end
  end
  results[#results + 1] = result
end
return results
