-- Claims steps: up to `limit` of them, each under a new fence and a lease.
--
-- In one atomic act: takes back expired leases, then overdue and cancelled jobs, then due polls, then
-- due submits (within the pauses, the breaker and the limits that all pods share); leases each job; and
-- marks a submit as intended, before anybody can send it.
-- Asked again with the same request number, it gives the same steps again, so a lost reply loses nothing.
-- On a server that may have lost its last writes, it gives nothing until all pods have said what they hold.
--
-- A lease is named <fence>:<job id>. A job's text begins with the fence of the claim under way, or else of the next
-- claim. So a lease names the claim that it belongs to, and a claim of a poll has to write the lease only.
--
-- PRELUDE  queue, rights, gate, rate, server
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  pod name                    ARGV[2]  request number, higher for each new claim
-- ARGV[3]  limit, steps, at most 256   ARGV[4]  how many of them may be submits
-- ARGV[5]  lease, ms                   ARGV[6]  most open tasks, 0 = no limit
-- ARGV[7]  submits per window, 0 = no limit    ARGV[8]  that window, ms
-- ARGV[9]  poll requests per window, 0 = no limit  ARGV[10] that window, ms
-- ARGV[11] polls that one request carries
-- ARGV[12] how long the answer to a submit may take, ms
-- ARGV[13] '1' to check whether this server is the one that served before
-- ARGV[14] when this pod last had any answer, Unix ms; 0 = the pod has just started
-- ARGV[15] when the pod sent this call, by what it knows of Redis's clock, Unix ms
-- ARGV[16] how many claims that gave steps, to any pod, this pod has heard of
-- Returns {now, Unix ms; ms until there may be more to claim (-1: nothing is waiting); when the steps were granted,
--   Unix ms; 1 if submits wait until open tasks end, 2 if they wait until Redis has room, 3 if nothing is claimed until
--   each pod has said what it holds, else 0; how many claims gave steps, over all pods; step …}. With 3, the time of
--   the grant is the gate's name (prelude/server.lua). A step is lines of text:
--   id; for a marked job (see `marked`) also: 1 if reclaimed, reclaims, 1 if cancelled, inputs,
--     hinted task or ''; with a space before each
--   the job's text: fence, phase, record
--   its request, which may be several lines; only of a submit, and unless the job is large

local call = redis.call
local pod, request = ARGV[1], ARGV[2]
local limit, most_submits = tonumber(ARGV[3]), tonumber(ARGV[4])
local lease_ms, max_open = tonumber(ARGV[5]), tonumber(ARGV[6])
local submit_n, submit_window = tonumber(ARGV[7]), tonumber(ARGV[8])
local poll_n, poll_window = tonumber(ARGV[9]), tonumber(ARGV[10])
local polls_per_request, answer_ms = tonumber(ARGV[11]), tonumber(ARGV[12])
local heard_ms, sent_ms, claims_heard = tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16])
local SUBMIT, LATER, POLL = P .. 'due:submit', P .. 'due:later', P .. 'due:poll'
local LEASES, DEADLINES, UPSTREAM = P .. 'leases', P .. 'deadlines', P .. 'upstream'
local MARKED, MEMO = P .. 'marked', P .. 'claim:' .. pod
local JOB, REQUEST, MORE = P .. 'job:', P .. 'request:', P .. 'more:'
-- A key that never exists: MGET reads it in the place of a request that is not to be read.
local NOTHING = P .. 'nothing'

local function number(text) return tonumber(text or 0) or 0 end

local steps, leases = {}, {}

-- Each value of a reply costs Redis and the pod time, so a step is a single value.
local function give(id, reclaimed, text, job, is_marked)
  local head = id
  if is_marked then
    local reclaims, is_cancelled, inputs, hint = unpack(try('HMGET', MORE .. id, 'rc', 'c', 'mn', 'hint') or {})
    head = string.format('%s %d %d %d %d %s', id, reclaimed, number(reclaims), is_cancelled and 1 or 0,
      number(inputs), hint or '')
  end
  steps[#steps + 1] = job and head .. '\n' .. text .. '\n' .. job or head .. '\n' .. text
end

-- Reads one key of each job, all with one command. Returns the texts and the keys.
local function texts_of(prefix, ids)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = prefix .. id end
  return call('MGET', unpack(keys)), keys
end

-- For each job 1 if it is marked (fields in `more:<id>`, children, or large), else 0. Few jobs are.
local some_marked = call('SCARD', MARKED) > 0
local function marks_of(ids)
  return some_marked and call('SMISMEMBER', MARKED, unpack(ids)) or {}
end

-- Whether a marked job is large. Then its request is not read: it is not needed, and its state may be very long.
local function is_large(id) return not string.find(try('GETRANGE', REQUEST .. id, 0, 80) or '', '^%S+ %S+ %d+ =') end

-- The requests of the jobs that are not large.
local function requests_of(ids, marks)
  local keys = {}
  for i, id in ipairs(ids) do keys[i] = marks[i] == 1 and is_large(id) and NOTHING or REQUEST .. id end
  return call('MGET', unpack(keys))
end

-- Fence and phase of a job's text; nil if the text is missing, or was not written by mjq.
local function read(text)
  local fence, phase = string.match(text or '', '^(%d+) (%a+) ')
  if fence and #fence < 16 then return fence, phase end
end

local function lease_of(id, text)
  local fence = read(text)
  return fence and fence .. ':' .. id
end

-- What all pods know of the upstream, as Redis keeps it: text, or false for a missing field. `down` is how often in a
-- row the breaker has opened; it is missing while the breaker is closed.
local paused, submits_paused, gate, learnt_limit, down, down_until, known_server, server_gate_noted, spared_until,
  polls_gate, lowered_at, full, tried_at, claims, gated_at = unpack(call('HMGET', UPSTREAM,
  'paused', 'submits_paused', 'gate_ms', 'limit', 'down', 'down_until_ms', 'server', 'server_gate_ms', 'spared_ms',
  'polls_gate_ms', 'lowered_ms', 'full', 'tried_ms', 'claims', 'gated_ms'))

local limit_open = tonumber(learnt_limit or '')
local spared_ms, polls_gate_ms = until_ms(spared_until, 5 * lease_ms + 5000), closed_until('polls_gate_ms', polls_gate)
full, claims = number(full), number(claims)

local function reply(more_ms, granted_ms, waits_for) return { now, more_ms, granted_ms, waits_for, claims, unpack(steps) } end

local last = call('GET', MEMO)

-- Gives the same steps again if this claim was made before; else returns nil.
local function again()
  if not last or string.sub(last, 1, #request + 1) ~= request .. ' ' then return nil end
  write_although_full()
  local granted, given = string.match(string.sub(last, #request + 2), '(%d+) (.*)')
  for fence, id in string.gmatch(given, '(%d+):(%S+)') do
    local lease = fence .. ':' .. id
    local text = call('ZSCORE', LEASES, lease) and try('GET', JOB .. id)
    if text then
      -- The lease begins anew, because the pod learns of the step only now.
      call('ZADD', LEASES, now + lease_ms, lease)
      -- `rn` is the fence of the last reclaim: it tells whether the first reply called this step reclaimed.
      local reclaimed = try('HGET', MORE .. id, 'rn') == fence and 1 or 0
      local marks = marks_of({ id })
      local job = string.find(text, '^%d+ submitting ') and requests_of({ id }, marks)[1]
      give(id, reclaimed, text, job, marks[1] == 1)
    end
  end
  return reply(0, tonumber(granted), 0)
end

-- The reply to a claim that gets no steps, whatever is due; nil if it may get some.
local function nothing()
  -- A number below the last one means an old claim, whose pod no longer waits for the answer.
  if last and (tonumber(request) or 0) < (tonumber(string.match(last, '^%d+')) or 0) then return reply(0, now, 0) end
  local server_gate_ms = ARGV[13] == '1' and server_gate(known_server, server_gate_noted) or noted_gate(server_gate_noted)
  server_gate_ms = claims_gate(claims, claims_heard, server_gate_ms, number(gated_at))
  -- This pod had no answer for half a lease: Redis stood still, or the pod was cut off. It gets nothing, because it may
  -- no longer be listening. Expired leases are not taken back for a while, because the settlements of other pods may
  -- still be on their way. This happens at most once in four leases, or one slow pod would keep the jobs of dead pods
  -- back.
  local was_cut_off = heard_ms > 0 and now - heard_ms > lease_ms / 2
  if was_cut_off and now > spared_ms + 4 * lease_ms then
    write_although_full()
    spared_ms = math.max(now, server_gate_ms) + math.max(lease_ms / 2, 1500)
    call('HSET', UPSTREAM, 'spared_ms', string.format('%d', spared_ms))
  end
  if server_gate_ms > now then return reply(server_gate_ms - now, gate_name(server_gate_ms, gated_at), 3) end
  -- A pod that gave up waiting for this answer gets nothing either (link.rs): it may have asked again since.
  if was_cut_off or now - sent_ms > 5000 then return reply(0, now, 0) end
end

-- The jobs that this claim has taken. Their leases are written together at the end.
local taken = {}

local function hold(id, fence, reclaimed, text, job, is_marked)
  taken[id] = true
  leases[#leases + 1] = fence .. ':' .. id
  give(id, reclaimed, text, job, is_marked)
end

-- A record may be gone (a lost last second of AOF, a deletion by hand, an eviction) or unreadable. Then there is
-- nothing to do for its job, and the job must not stop the others.
local function forget(id)
  call('HINCRBY', P .. 'totals', 'suspected_rollback', 1)
  for _, index in ipairs({ DEADLINES, P .. 'late', P .. 'held', P .. 'unknown' }) do call('ZREM', index, id) end
  call('SREM', MARKED, id)
end

-- Handles a job in the submit lane that must not be submitted, because somebody put it there. It may have a task.
local function not_to_be_submitted(id, fence, phase)
  -- A step of the job is under way, and its settlement says what comes next.
  if call('ZSCORE', LEASES, fence .. ':' .. id) then return end
  if phase == 'submitting' then
    -- Treated as a claim that has just expired: nobody can know whether the submit was sent.
    call('ZADD', LEASES, now, fence .. ':' .. id)
  elseif phase == 'polling' or phase == 'held' or phase == 'unknown' then
    call('ZADD', POLL, now, id)
  end
end

-- Claims jobs that were taken out of a lane. Jobs in a lane have no lease.
local function take(ids, is_submit)
  if #ids == 0 then return end
  local texts, keys = texts_of(JOB, ids)
  local marks = marks_of(ids)
  local requests, intents = is_submit and requests_of(ids, marks), {}
  for i, id in ipairs(ids) do
    local text = texts[i]
    local fence, phase = read(text)
    if not fence then
      forget(id)
    elseif is_submit and phase ~= 'queued' then
      not_to_be_submitted(id, fence, phase)
    else
      if is_submit then
        text = string.gsub(text, ' %a+ ', ' submitting ', 1)
        intents[#intents + 1] = keys[i]
        intents[#intents + 1] = text
      end
      hold(id, fence, 0, text, is_submit and (requests[i] or ''), marks[i] == 1)
    end
  end
  if #intents > 0 then call('MSET', unpack(intents)) end
end

-- Takes a job whose lease has expired.
local function take_back(lease)
  call('ZREM', LEASES, lease)
  local fence, id = string.match(lease, '^(%d+):(.*)$')
  if not id or #fence > 15 then return end
  local text = try('GET', JOB .. id)
  if not read(text) then return forget(id) end
  fence = string.format('%d', fence + 1)
  text = string.gsub(text, '^%d+', fence)
  call('SET', JOB .. id, text)
  -- Without a count of reclaims, a job that kills its workers would never end.
  if not try('HINCRBY', MORE .. id, 'rc', 1) then
    call('DEL', MORE .. id)
    call('HSET', MORE .. id, 'rc', 1)
  end
  call('HSET', MORE .. id, 'rn', fence)
  call('SADD', MARKED, id)
  some_marked = true
  hold(id, fence, 1, text, false, true)
end

local function due(key, at_most)
  if at_most <= 0 then return {} end
  return call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, at_most)
end

local more, waits_for_room = -1, 0
local function wake_in(ms)
  if ms and (more < 0 or ms < more) then more = math.max(ms, 0) end
end

-- Whether Redis has memory for the writes of new jobs. Checked only if something may be submitted. If the memory is
-- full, nothing is submitted, but polls go on.
local function has_memory()
  local waiting = call('ZCARD', SUBMIT) + call('ZCOUNT', LATER, '-inf', now)
  local has_room = waiting == 0 or not redis.pcall('SET', P .. 'room', 1).err
  if waiting == 0 or not has_room then write_although_full() end
  return has_room
end

local function take_expired()
  if spared_ms > now then return wake_in(spared_ms - now) end
  for _, lease in ipairs(due(LEASES, limit)) do take_back(lease) end
end

local function take_overdue()
  for _, id in ipairs(due(DEADLINES, limit - #steps)) do
    local own = lease_of(id, try('GET', JOB .. id))
    if taken[id] or own and call('ZSCORE', LEASES, own) then
      -- A step is under way and may end the job. If it does not, the job is taken after it.
      call('ZADD', DEADLINES, now + math.floor(lease_ms / 16), id)
    else
      -- The job stays in this set, and is taken again, until it has ended.
      call('ZADD', DEADLINES, now + math.min(lease_ms, 5000), id)
      call('ZREM', SUBMIT, id)
      call('ZREM', LATER, id)
      call('ZREM', POLL, id)
      take({ id }, false)
    end
  end
end

local function promote_later()
  for _, id in ipairs(due(LATER, 256)) do
    call('ZREM', LATER, id)
    call('ZADD', SUBMIT, submit_score(id) or now, id)
  end
end

-- Takes due polls, but leaves some slots for submits. Returns whether more polls are due than the other slots could
-- take.
local function take_polls(waiting)
  -- A quarter of the slots is kept for submits, or a flood of polls would stop them. With fewer than four free slots,
  -- one slot is kept in every fourth claim.
  local free = limit - #steps
  local fits, wait = room(P .. 'rate:poll', math.ceil(free / polls_per_request), poll_n, poll_window)
  if polls_gate_ms > now then fits, wait = 0, polls_gate_ms - now end
  local kept = math.floor(free / 4)
  if kept == 0 and (tonumber(request) or 1) % 4 == 0 then kept = 1 end
  local most = free - math.min(kept, waiting, most_submits)
  local polls = due(POLL, math.min(most, fits * polls_per_request))
  if #polls > 0 then
    call('ZREM', POLL, unpack(polls))
    take(polls, false)
    spend(P .. 'rate:poll', math.ceil(#polls / polls_per_request), poll_n)
  end
  if fits * polls_per_request <= #polls then wake_in(wait) end
  return most < free and #polls >= most
end

-- How many of the `wanted` submits the limits of open tasks leave room for, and whether the submit is a trial.
--
-- The learnt limit is the number of tasks that the upstream had accepted when it refused one. These tasks may run for
-- long, and the upstream may take others before one of them ends. So after a quiet while the limit counts as one
-- higher. Now and then one submit may exceed even the number of open tasks, if that number is higher: this submit is a
-- trial.
local function fitting(wanted)
  local cap, is_quiet, may_try = max_open, false, false
  if limit_open then
    local while_ms = math.min(60000, 10000 * 2 ^ math.min(full, 4))
    is_quiet = ms_since(lowered_at) >= while_ms
    may_try = is_quiet and ms_since(tried_at) >= while_ms
    cap = math.max(1, math.floor(limit_open)) + (is_quiet and 1 or 0)
    if max_open > 0 then cap = math.min(max_open, cap) end
  end
  if cap == 0 then return wanted, false end
  local open = call('ZCARD', POLL) + call('ZCARD', LEASES) + #leases
  if cap - open < wanted then waits_for_room = 1 end
  if cap <= open and wanted > 0 and may_try and (max_open == 0 or open < max_open) then return 1, true end
  return math.min(wanted, cap - open), false
end

-- How long a probe may be under way; a moment more than its answer may take.
local PROBE_MS = math.max(5000, answer_ms + 1000)

local function take_submits(waiting)
  local wanted, is_trial = fitting(math.min(limit - #steps, waiting, most_submits))
  local gate_ms = math.max(closed_until('gate_ms', gate), down and until_ms(down_until, math.max(LONGEST.down_until_ms, PROBE_MS)) or 0)
  if gate_ms > now then return wake_in(gate_ms - now) end
  -- While the breaker is open, one submit goes as a probe.
  if down then wanted = math.min(wanted, 1) end
  local submits, wait = room(P .. 'rate:submit', wanted, submit_n, submit_window)
  if submits > 0 then
    -- While nothing is accepted, start at a different job each time: the first job may be the cause.
    local from = (down or full > 0) and (tonumber(request) or 0) % math.min(waiting, 64) or 0
    -- Not ZPOPMIN, which would also write out each score.
    local ids = call('ZRANGE', SUBMIT, from, from + submits - 1)
    call('ZREMRANGEBYRANK', SUBMIT, from, from + submits - 1)
    take(ids, true)
    spend(P .. 'rate:submit', #ids, submit_n)
    if is_trial then call('HSET', UPSTREAM, 'tried_ms', now) end
    -- No other submit goes until the probe has had time to be answered.
    if down then call('HSET', UPSTREAM, 'down_until_ms', now + PROBE_MS, 'probing', now) end
  end
  if submits < wanted then wake_in(wait) end
end

-- Writes the leases, and notes which they are, in case the pod sends the same claim again.
local function lease()
  if #leases == 0 then return end
  -- The last lease first: a small sorted set is a list, and Redis searches it from the beginning for each place.
  local expiry, members = string.format('%d', now + lease_ms), {}
  for i = #leases, 1, -1 do
    members[#members + 1] = expiry
    members[#members + 1] = leases[i]
  end
  call('ZADD', LEASES, unpack(members))
  claims = call('HINCRBY', UPSTREAM, 'claims', 1)
  call('SET', MEMO, string.format('%s %d ', request, now) .. table.concat(leases, ' '), 'PX', lease_ms * 4)
end

-- Notes when there may be more: at once if the slots did not suffice, else when the next job is due. A job that is due
-- and was not taken waits for a limit; the code that met the limit has noted its time.
local function note_when_there_is_more()
  if #steps >= limit then
    more = 0
    return
  end
  for _, key in ipairs({ POLL, LATER, LEASES, DEADLINES }) do
    local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if first[2] and tonumber(first[2]) > now then wake_in(tonumber(first[2]) - now) end
  end
end

local early = again() or nothing()
if early then return early end
-- A key of a foreign type fails here, before any job has left its lane.
call('ZCARD', LEASES)
local has_room = has_memory()
take_expired()
take_overdue()
promote_later()
if paused ~= '1' then
  local waiting = call('ZCARD', SUBMIT)
  local are_polls_left = take_polls(waiting)
  if has_room and submits_paused ~= '1' and waiting > 0 then take_submits(waiting) end
  -- Slots that were kept for submits but not used go to the due polls, in the next claim.
  if are_polls_left and polls_gate_ms <= now and #steps < limit then wake_in(0) end
end
lease()
note_when_there_is_more()
return reply(more, now, has_room and waits_for_room or 2)
