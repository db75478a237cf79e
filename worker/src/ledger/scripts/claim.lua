-- Claims steps: up to `limit` of them, each under a new fence and a lease.
--
-- In one atomic act: takes back expired leases, then overdue jobs, then due polls, then due submits
-- (within the pauses, the breaker and the limits that all pods share); raises each job's fence;
-- leases it; and marks a submit as intended, before anybody can send it.
-- Asked again with the same request id, it gives the same steps again: a lost reply loses nothing.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  pod name                    ARGV[2]  request id, new for each new claim
-- ARGV[3]  limit, steps, at most 256   ARGV[4]  lease, ms
-- ARGV[5]  most open tasks, 0 = no limit
-- ARGV[6]  submits per window, 0 = no limit    ARGV[7]  that window, ms
-- ARGV[8]  poll requests per window, 0 = none  ARGV[9]  that window, ms
-- ARGV[10] polls that one request carries
-- Returns {now ms, ms until there may be more to claim (-1: nothing is waiting), when the steps were
--   granted in ms, step …}; a step is
--   {id, fence, 1 if reclaimed, phase, record, reclaims, 1 if cancelled, hinted task or '', inputs, job or '' when it is large}

local P = KEYS[1]
local pod, request = ARGV[1], ARGV[2]
local limit, lease_ms, max_open = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local submit_n, submit_window = tonumber(ARGV[6]), tonumber(ARGV[7])
local poll_n, poll_window = tonumber(ARGV[8]), tonumber(ARGV[9])
local polls_per_request = tonumber(ARGV[10])
local SUBMIT, LATER, POLL = P .. 'due:submit', P .. 'due:later', P .. 'due:poll'
local LEASES, DEADLINES, UPSTREAM = P .. 'leases', P .. 'deadlines', P .. 'upstream'
local MEMO = P .. 'claim:' .. pod

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local steps, leased, memo = {}, {}, {}

local function give(id, fence, reclaimed, phase, fields)
  steps[#steps + 1] =
    { id, fence, reclaimed, phase, fields[3], tonumber(fields[4] or 0), fields[5] and 1 or 0, fields[6] or '',
      tonumber(fields[7] or 0), phase == 'submitting' and fields[8] or '' }
end

local function read(id, submits)
  -- A large job is in another field, to be read apart: a claim must not hold Redis for long.
  return redis.call('HMGET', P .. 'job:' .. id, 'f', 'p', 'r', 'rc', 'c', 'hint', 'mn', submits and 'job' or '-')
end

local last = redis.call('GET', MEMO)
if last and string.sub(last, 1, #request + 1) == request .. ' ' then
  local granted, given = string.match(string.sub(last, #request + 2), '(%d+) (.*)')
  for id, fence in string.gmatch(given, '(%S+) (%d+)') do
    local fields = read(id, true)
    if fields[1] == fence and redis.call('ZSCORE', LEASES, id) then
      -- The lease begins anew: the pod hears of the step only now.
      redis.call('ZADD', LEASES, now + lease_ms, id)
      -- `rn` is the fence of the last reclaim: it tells whether the first reply said "reclaimed".
      give(id, tonumber(fence), redis.call('HGET', P .. 'job:' .. id, 'rn') == fence and 1 or 0, fields[2], fields)
    end
  end
  return { now, 0, tonumber(granted), unpack(steps) }
end

local function take(id, reclaimed, submits)
  local key = P .. 'job:' .. id
  local fields = read(id, submits)
  if not fields[1] then
    -- A record that is gone (retention, a lost last second of AOF) leaves nothing to do.
    redis.call('ZREM', LEASES, id)
    redis.call('ZREM', DEADLINES, id)
    return
  end
  local fence, phase = tonumber(fields[1]) + 1, submits and 'submitting' or fields[2]
  if reclaimed == 1 then
    fields[4] = tonumber(fields[4] or 0) + 1
    redis.call('HSET', key, 'f', fence, 'rc', fields[4], 'rn', fence)
  elseif submits then
    redis.call('HSET', key, 'f', fence, 'p', phase)
  else
    redis.call('HSET', key, 'f', fence)
  end
  leased[#leased + 1] = string.format('%d', now + lease_ms)
  leased[#leased + 1] = id
  memo[#memo + 1] = id .. ' ' .. fence
  give(id, fence, reclaimed, phase, fields)
end

local function due(key, at_most)
  if at_most <= 0 then return {} end
  return redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, at_most)
end

-- How many of `wanted` fit, when any `window` holds at most `n`; and ms until one more does.
local function room(key, wanted, n, window)
  if n == 0 then return wanted, 0 end
  local fits = 0
  while fits < wanted and fits < n do
    local grant = tonumber(redis.call('LINDEX', key, n - 1 - fits) or 0)
    if now - grant < window then return fits, grant + window - now end
    fits = fits + 1
  end
  return fits, window
end

local function spend(key, used, n)
  if n == 0 or used == 0 then return end
  for _ = 1, used do redis.call('LPUSH', key, now) end
  redis.call('LTRIM', key, 0, n - 1)
end

local more = -1
local function wake_in(ms)
  if ms and (more < 0 or ms < more) then more = math.max(ms, 0) end
end

-- Redis refuses a script on a full memory only until its first write. So the first write asks: while
-- there is no room, what has begun goes on, and nothing new is paid for.
local has_room = not redis.pcall('SET', P .. 'room', 1).err
if not has_room then redis.call('DEL', P .. 'room') end

for _, id in ipairs(due(LEASES, limit)) do take(id, 1, false) end

for _, id in ipairs(due(DEADLINES, limit - #steps)) do
  -- It comes back here until it has ended: a step under way now ends it by itself.
  redis.call('ZADD', DEADLINES, now + lease_ms, id)
  if not redis.call('ZSCORE', LEASES, id) then
    redis.call('ZREM', SUBMIT, id)
    redis.call('ZREM', LATER, id)
    redis.call('ZREM', POLL, id)
    take(id, 0, false)
  end
end

local control = redis.call('HMGET', UPSTREAM, 'paused', 'submits_paused', 'gate_ms', 'limit', 'down', 'down_until_ms')
local is_paused, submits_paused = control[1] == '1', control[2] == '1'

for _, id in ipairs(due(LATER, 256)) do
  redis.call('ZREM', LATER, id)
  redis.call('ZADD', SUBMIT, redis.call('HGET', P .. 'job:' .. id, 'sc') or now, id)
end

if not is_paused then
  local waiting = redis.call('ZCARD', SUBMIT)
  -- A quarter of the slots is kept for submits, or a flood of polls would stop them.
  local free = limit - #steps
  local fits, wait = room(P .. 'rate:poll', math.ceil(free / polls_per_request), poll_n, poll_window)
  local polls = due(POLL, math.min(free - math.min(math.floor(free / 4), waiting), fits * polls_per_request))
  if #polls > 0 then
    redis.call('ZREM', POLL, unpack(polls))
    for _, id in ipairs(polls) do take(id, 0, false) end
    spend(P .. 'rate:poll', math.ceil(#polls / polls_per_request), poll_n)
  end
  if fits * polls_per_request <= #polls then wake_in(wait) end

  if has_room and not submits_paused and waiting > 0 then
    local wanted = math.min(limit - #steps, waiting)
    local cap = max_open
    if control[4] and (cap == 0 or tonumber(control[4]) < cap) then cap = math.max(1, math.floor(control[4])) end
    if cap > 0 then
      local open = redis.call('ZCARD', POLL) + redis.call('ZCARD', LEASES) + #leased / 2
      wanted = math.min(wanted, cap - open)
    end
    local gate_ms = tonumber(control[3] or 0)
    if control[5] then gate_ms = math.max(gate_ms, tonumber(control[6] or 0)) end
    if gate_ms > now then
      wanted = 0
      wake_in(gate_ms - now)
    elseif control[5] and wanted > 0 then
      -- The breaker is open: one probe, and nobody else until it has had time to be answered.
      wanted = 1
      redis.call('HSET', UPSTREAM, 'down_until_ms', now + 5000, 'probing', 1)
    end
    local submits, submit_wait = room(P .. 'rate:submit', wanted, submit_n, submit_window)
    if submits > 0 then
      local popped = redis.call('ZPOPMIN', SUBMIT, submits)
      for i = 1, #popped, 2 do take(popped[i], 0, true) end
      spend(P .. 'rate:submit', #popped / 2, submit_n)
    end
    if submits < wanted then wake_in(submit_wait) end
  end
end

if #leased > 0 then
  redis.call('ZADD', LEASES, unpack(leased))
  redis.call('SET', MEMO, string.format('%s %d ', request, now) .. table.concat(memo, ' '), 'PX', lease_ms * 4)
end

if #steps >= limit then
  more = 0
else
  for _, key in ipairs({ POLL, LATER, LEASES, DEADLINES }) do
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    -- What is due and was not taken waits for a limit, whose own time was noted above.
    if first[2] and tonumber(first[2]) > now then wake_in(tonumber(first[2]) - now) end
  end
end
return { now, more, now, unpack(steps) }
