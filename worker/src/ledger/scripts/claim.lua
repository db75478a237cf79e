-- Claims steps: up to `limit` of them, each under a new fence and a lease.
--
-- In one atomic act: takes back expired leases, then overdue and cancelled jobs, then due polls, then
-- due submits (within the pauses, the breaker and the limits that all pods share); raises each job's
-- fence; leases it; and marks a submit as intended, before anybody can send it.
-- Asked again with the same request id, it gives the same steps again: a lost reply loses nothing.
-- On a server that may have lost its last writes, it gives nothing until all pods have said what they hold.
--
-- A lease is named <fence>:<job id>, and a job's `f` is the fence before the one that it is leased
-- under. So a lease tells the claim that it belongs to, and a claim writes little else.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  pod name                    ARGV[2]  request id, new for each new claim
-- ARGV[3]  limit, steps, at most 256   ARGV[4]  lease, ms
-- ARGV[5]  most open tasks, 0 = no limit
-- ARGV[6]  submits per window, 0 = no limit    ARGV[7]  that window, ms
-- ARGV[8]  poll requests per window, 0 = none  ARGV[9]  that window, ms
-- ARGV[10] polls that one request carries
-- Returns {now ms, ms until there may be more to claim (-1: nothing is waiting), when the steps were
--   granted in ms, step …}; a step is lines of text:
--   id, fence, phase, and where the job has any of them: 1 if reclaimed, reclaims, 1 if cancelled, inputs,
--     hinted task or ''; with a space between each two
--   the record
--   the job, which may be more lines; only of a submit, and not when it is large

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
local expiry = string.format('%d', now + lease_ms)
local steps, leased, memo = {}, {}, {}

local function give(id, fence, reclaimed, phase, fields)
  local head = id .. ' ' .. fence .. ' ' .. phase
  if reclaimed == 1 or fields[4] then
    head = string.format('%s %d %d %d %d %s', head, reclaimed, fields.rc or 0, fields.c and 1 or 0, fields.mn or 0,
      fields.hint or '')
  end
  local job = phase == 'submitting' and fields[5]
  -- Each value of a reply costs both sides, so a step is one.
  steps[#steps + 1] = job and head .. '\n' .. fields[3] .. '\n' .. job or head .. '\n' .. fields[3]
end

-- What few jobs have is read only of those that are marked as having some of it.
local function read(id, submits)
  local key, fields = P .. 'job:' .. id, nil
  if submits then
    -- A large job is in another field, to be read apart: a claim must not hold Redis for long.
    fields = redis.call('HMGET', key, 'f', 'p', 'r', 'x', 'job')
  else
    fields = redis.call('HMGET', key, 'f', 'p', 'r', 'x')
  end
  if fields[4] then
    fields.rc, fields.c, fields.hint, fields.mn = unpack(redis.call('HMGET', key, 'rc', 'c', 'hint', 'mn'))
  end
  return fields
end

local function lease_of(id, fence) return fence .. ':' .. id end

local last = redis.call('GET', MEMO)
if last and string.sub(last, 1, #request + 1) == request .. ' ' then
  local granted, given = string.match(string.sub(last, #request + 2), '(%d+) (.*)')
  for fence, id in string.gmatch(given, '(%d+):(%S+)') do
    local lease = lease_of(id, fence)
    if redis.call('ZSCORE', LEASES, lease) then
      -- The lease begins anew: the pod hears of the step only now.
      redis.call('ZADD', LEASES, now + lease_ms, lease)
      local fields = read(id, true)
      -- `rn` is the fence of the last reclaim: it tells whether the first reply said "reclaimed".
      local reclaimed = redis.call('HGET', P .. 'job:' .. id, 'rn') == fence and 1 or 0
      give(id, tonumber(fence), reclaimed, fields[2], fields)
    end
  end
  return { now, 0, tonumber(granted), unpack(steps) }
end

local control = redis.call('HMGET', UPSTREAM, 'paused', 'submits_paused', 'gate_ms', 'limit', 'down', 'down_until_ms',
  'server', 'server_gate_ms')
local is_paused, submits_paused = control[1] == '1', control[2] == '1'
local server_gate_ms = server_gate(control[7], control[8], now)
if server_gate_ms > now then return { now, server_gate_ms - now, now } end

-- Taken by this claim; the leases are written together in the end.
local taken = {}

local function hold(id, fence, reclaimed, phase, fields)
  taken[id] = true
  local lease = lease_of(id, fence)
  leased[#leased + 1] = expiry
  leased[#leased + 1] = lease
  memo[#memo + 1] = lease
  give(id, fence, reclaimed, phase, fields)
end

-- A record that is gone (retention, a lost last second of AOF) leaves nothing to do.
local function forget(id)
  redis.call('ZREM', DEADLINES, id)
end

-- Takes a job out of a lane, where it has no lease.
local function take(id, submits, fields)
  fields = fields or read(id, submits)
  if not fields[1] then return forget(id) end
  if submits then
    fields[2] = 'submitting'
    redis.call('HSET', P .. 'job:' .. id, 'p', fields[2])
  end
  hold(id, fields[1] + 1, 0, fields[2], fields)
end

-- Takes a job whose lease has expired.
local function take_back(lease)
  redis.call('ZREM', LEASES, lease)
  local fence, id = string.match(lease, '^(%d+):(.*)$')
  local fields = read(id, false)
  if not fields[1] then return forget(id) end
  fields.rc = tonumber(fields.rc or 0) + 1
  redis.call('HSET', P .. 'job:' .. id, 'f', fence, 'rc', fields.rc, 'rn', string.format('%d', fence + 1), 'x', 1)
  hold(id, fence + 1, 1, fields[2], fields)
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
local waiting = redis.call('ZCARD', SUBMIT) + redis.call('ZCOUNT', LATER, '-inf', now)
local has_room = waiting == 0 or not redis.pcall('SET', P .. 'room', 1).err
if waiting == 0 or not has_room then redis.call('DEL', P .. 'room') end

for _, lease in ipairs(due(LEASES, limit)) do take_back(lease) end

for _, id in ipairs(due(DEADLINES, limit - #steps)) do
  local fields = read(id, false)
  if taken[id] or fields[1] and redis.call('ZSCORE', LEASES, lease_of(id, fields[1] + 1)) then
    -- A step is under way: its end may be the job's, and else this comes after it.
    redis.call('ZADD', DEADLINES, now + math.floor(lease_ms / 16), id)
  else
    -- It comes back here until it has ended.
    redis.call('ZADD', DEADLINES, now + lease_ms, id)
    redis.call('ZREM', SUBMIT, id)
    redis.call('ZREM', LATER, id)
    redis.call('ZREM', POLL, id)
    take(id, false, fields)
  end
end

for _, id in ipairs(due(LATER, 256)) do
  redis.call('ZREM', LATER, id)
  redis.call('ZADD', SUBMIT, string.match(redis.call('HGET', P .. 'job:' .. id, 'i') or '', '^%S+ (%S+)') or now, id)
end

if not is_paused then
  waiting = redis.call('ZCARD', SUBMIT)
  -- A quarter of the slots is kept for submits, or a flood of polls would stop them.
  local free = limit - #steps
  local fits, wait = room(P .. 'rate:poll', math.ceil(free / polls_per_request), poll_n, poll_window)
  local polls = due(POLL, math.min(free - math.min(math.floor(free / 4), waiting), fits * polls_per_request))
  if #polls > 0 then
    redis.call('ZREM', POLL, unpack(polls))
    for _, id in ipairs(polls) do take(id, false) end
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
      for i = 1, #popped, 2 do take(popped[i], true) end
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
