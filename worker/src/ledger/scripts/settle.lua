-- Settles steps: writes what became of each step, if its claim still holds.
--
-- In one atomic act per step: checks the fence (a lease is named <fence>:<job id>); replaces the
-- record; puts the job back into a lane or ends it, and then the event, the follow-ups and the
-- indexes go with it; ends the lease; and moves the limits that all pods share. A step whose job was
-- claimed anew changes nothing.
-- Asked again after a lost reply, it gives the first answer again and does nothing twice. Asked again after an error (a
-- key of a foreign type), it publishes nothing twice: whatever can fail comes before the first event.
--
-- PRELUDE  queue, rights, gate, pressure, standing, event
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[…]  step after step:
--   id, lease, the job's new text (the next fence, phase, record),
--   until when the record cannot have been swept, a space and the deadline (both Unix ms),
--   pressure, see prelude/pressure.lua,
--   then: 'submit' or 'poll', delay ms
--     or: 'show', delay ms, kind, task, status, progress, image url, entries that the stream of progress keeps: the
--     same as 'poll', and published
--     or: 'after', delay ms, a space and the parent: to be submitted when that has ended, or after the delay at the latest
--     or: 'end', type, code, kind, task, status, image url, data, pace class, ms that the task ran (0: not
--     known), ms until the task is polled once more ('': never), number of follow-ups, job JSON …
-- Returns a digit for each step: 1 written, 2 was written before, 0 the fence is stale, 4 the record is
--   gone, 3 Redis had lost the claim or the record, and has both again

local SUBMIT, LATER, POLL = P .. 'due:submit', P .. 'due:later', P .. 'due:poll'
local LEASES, DEADLINES = P .. 'leases', P .. 'deadlines'
local ENDED = P .. 'ended'
local JOB, REQUEST, CHILDREN = P .. 'job:', P .. 'request:', P .. 'children:'

-- Writes to the sorted sets are gathered here and made at the end, with one command for each set.
local adds = {}
local function add(set, score, id)
  local members = adds[set] or {}
  adds[set] = members
  local n = #members
  members[n + 1] = string.format('%d', score)
  members[n + 2] = id
end
-- How many leases this call has ended. All jobs of the call count as open until it is over, so that a step's pressure
-- does not depend on its place in the batch.
local leases_ended
local function count_open() return redis.call('ZCARD', POLL) + redis.call('ZCARD', LEASES) + leases_ended end

-- A step is known by the index of its first argument: a table for each step would cost more than all other work on it.
local VERB = 6
local steps, leases, ends, shown = {}, {}, {}, {}
do
  local at = 1
  while at <= #ARGV do
    steps[#steps + 1] = at
    leases[#leases + 1] = ARGV[at + 1]
    local verb = ARGV[at + VERB - 1]
    if verb == 'end' then
      ends[#ends + 1] = at
      at = at + VERB + 11 + ARGV[at + VERB + 10]
    elseif verb == 'show' then
      shown[#shown + 1] = #steps
      at = at + VERB + 7
    else
      at = at + VERB + 1
    end
  end
end
if #steps == 0 then return '' end
write_although_full()
-- Usually every claim of a batch still holds. If one does not, each job's text tells whether its own does.
leases_ended = redis.call('ZREM', LEASES, unpack(leases))
local all_held = leases_ended == #leases

-- The request of each job that ends, by job: digest, submit score, bytes of the state, place of the job, state, job.
local requests = {}
if #ends > 0 then
  local keys = {}
  for i, at in ipairs(ends) do keys[i] = REQUEST .. ARGV[at] end
  for i, request in ipairs(redis.call('MGET', unpack(keys))) do requests[ARGV[ends[i]]] = request end
end
-- Of a step whose poll is published, only a state that is short.
for _, i in ipairs(shown) do
  local id = ARGV[steps[i]]
  requests[id] = requests[id] or try('GETRANGE', REQUEST .. id, 0, 4500)
end

-- Texts of jobs, written with one command; counts of what ended; how long tasks ran, by class.
local texts, totals, paces = {}, {}, {}
-- The jobs that end, and for each the index of its outcome in the arguments.
local finished, outcomes = {}, {}
-- Whether any of them has rare fields, is large, or has waiting children.
local are_any_marked = false

local function write(id, text)
  local n = #texts
  texts[n + 1] = JOB .. id
  texts[n + 2] = text
end

-- The place of the job, and its state. (Matching the whole line with one pattern costs more.)
local function state_of(request)
  local digest_end = string.find(request, ' ', 1, true)
  local score_end = digest_end and string.find(request, ' ', digest_end + 1, true)
  if not score_end then return '', '' end
  local length, where, from = string.match(request, '^(%d+) (%S) ()', score_end + 1)
  if not length then return '', '' end
  return where, string.sub(request, from, from + length - 1)
end

-- Takes an ended job out of the indexes and counts it. Its event is published once all steps of this call are this far.
local function finish(id, at)
  local kind, code = ARGV[at], ARGV[at + 1]
  local class, ran_ms, revisit_ms = unpack(ARGV, at + 7, at + 9)
  local n = #finished + 1
  finished[n], outcomes[n] = id, at
  phases[id] = ''
  if kind == 'failed' then add(P .. 'failed', now, id) end
  if revisit_ms ~= '' then add(P .. 'late', now + revisit_ms, id) end
  if ran_ms ~= '0' then
    paces[class] = paces[class] or {}
    table.insert(paces[class], ran_ms)
  end
  local outcome = kind .. ':' .. code
  totals[outcome] = (totals[outcome] or 0) + 1
end

-- Enqueues the follow-ups of an ended job, publishes its event, and writes its text, which names the event.
local function tell_end(id, at)
  local kind, code, kind_of_job, task, status, image_url, data = unpack(ARGV, at, at + 6)
  local where, state = state_of(requests[id] or '')
  -- If somebody has given the stream the highest possible id, it takes no more entries. That must not keep the other
  -- jobs from ending.
  for i = at + 11, at + 10 + ARGV[at + 10] do
    if redis.pcall('XADD', P .. 'jobs', '*', 'v', '1', 'job', ARGV[i]).err then
      totals.follow_up_refused = (totals.follow_up_refused or 0) + 1
    end
  end
  local entry = publish(kind, id, kind_of_job, state, task, status, code, image_url, data)
  write(id, ARGV[at - VERB + 2] .. '\n' .. entry)
  -- Only a failed or cancelled job can be retried, so the pictures and the input of a completed job are no longer needed.
  if kind == 'completed' then
    if where == 'S' then redis.call('DEL', P .. 'large:' .. id) end
    if are_any_marked then try('HDEL', P .. 'more:' .. id, 'modal', 'mw') end
  end
  return entry
end

-- Puts a job behind its parent, and marks the parent. The set of children is kept for longer than any delay.
local function put_behind(id, parent, delay_ms)
  local text = try('GET', JOB .. parent)
  -- The parent has ended meanwhile.
  if phases[parent] == '' or not text or string.find(text, '\n', 1, true) then
    return add(SUBMIT, submit_score(id) or now, id)
  end
  if try('SADD', CHILDREN .. parent, id) then
    redis.call('PEXPIRE', CHILDREN .. parent, 120000)
    redis.call('SADD', P .. 'marked', parent)
  end
  add(LATER, now + delay_ms, id)
end

-- Lets the jobs that wait for this job be submitted: at most 1000; any others come when their delay is over.
local function call_children(id)
  for _, child in ipairs(try('SPOP', CHILDREN .. id, 1000) or {}) do
    if redis.call('ZREM', LATER, child) == 1 then
      redis.call('ZADD', SUBMIT, submit_score(child) or now, child)
    end
  end
end

-- Publishes what a poll showed. The stream is for those who watch, and nothing depends on it.
local function tell_progress(at)
  local id = ARGV[at]
  local kind, task, status, progress, image_url, keep = unpack(ARGV, at + VERB + 1, at + VERB + 6)
  local state = string.match(requests[id] or '', '^%S+ %S+ (%d+) ')
  state = tonumber(state or '') and tonumber(state) <= 4096 and select(2, state_of(requests[id])) or ''
  redis.pcall('XADD', P .. 'progress', 'MAXLEN', '~', keep, '*', 'v', '1', 'type', 'progress', 'job', id, 'kind', kind,
    'state', state, 'task', task, 'status', status, 'progress', progress, 'image_url', image_url)
end

local function put_back(id, text, verb, delay_ms)
  local phase = phase_of(text)
  write(id, text)
  phases[id] = phase
  if verb == 'poll' or verb == 'show' then
    -- The input that its task waits for may have come before.
    if phase == 'held' and try('HDEL', P .. 'more:' .. id, 'mw') == 1 then delay_ms = 0 end
    add(POLL, now + delay_ms, id)
  elseif verb == 'after' then
    put_behind(id, string.match(delay_ms, '^%d+ (.*)$'), tonumber(string.match(delay_ms, '^%d+')))
  elseif tonumber(delay_ms) > 0 then
    add(LATER, now + delay_ms, id)
  else
    add(SUBMIT, submit_score(id) or now, id)
  end
end

local function is_in_a_lane(id)
  return redis.call('ZSCORE', POLL, id) or redis.call('ZSCORE', SUBMIT, id) or redis.call('ZSCORE', LATER, id)
end

-- The record alone: fence and phase may have changed if the job was claimed after this was written.
local function record_in(text) return string.match(text, '^%d+ %a+ ([^\n]*)') end

-- The answer to a step whose claim may not hold, as text, because numbers are slow to write. '1' if the claim holds;
-- '3' if Redis has lost the claim, so that the step is to be written all the same.
local function check(id, lease, text, rare)
  -- This call has already settled the job: its pod got the same job twice from a Redis that had forgotten the first
  -- claim.
  if phases[id] then return '0' end
  local fence = tonumber(string.match(lease, '^%d+'))
  local kept_until_ms, deadline = string.match(rare, '^(%d+) (%d+)$')
  local known = try('GET', JOB .. id)
  local next_fence = known and tonumber(string.match(known, '^%d+'))
  -- A text that mjq did not write counts as lost.
  known = next_fence and known
  if next_fence == fence then
    -- The job has already ended under the previous claim, because Redis had lost this takeover. Its only event is out.
    -- (A retry skips one fence, so it cannot be mistaken for this case.)
    if string.find(known, '\n', 1, true) then return '0' end
    if not is_in_a_lane(id) then return '1' end
  end
  -- A takeover raises the fence. So a claim with a higher fence than Redis knows is one that Redis has lost. The same
  -- holds if the record is gone before its time.
  if known and next_fence <= fence or not known and now < tonumber(kept_until_ms) then
    -- The pod's knowledge counts, or the job would be submitted again.
    for _, lane in ipairs({ SUBMIT, LATER, POLL }) do redis.call('ZREM', lane, id) end
    if known then leases_ended = leases_ended + redis.call('ZREM', LEASES, string.format('%d:', next_fence) .. id) end
    redis.call('ZADD', DEADLINES, deadline, id)
    if redis.call('EXISTS', P .. 'more:' .. id, P .. 'large:' .. id) > 0 then redis.call('SADD', P .. 'marked', id) end
    totals.suspected_rollback = (totals.suspected_rollback or 0) + 1
    return '3'
  end
  if not known then return '4' end
  -- A later reclaim has left its fence in `rn`.
  local reclaim = tonumber(try('HGET', P .. 'more:' .. id, 'rn') or 0) or 0
  if next_fence ~= fence + 1 or reclaim > fence then return '0' end
  if record_in(known) == record_in(text) then return '2' end
  -- Two claims under one fence: Redis had forgotten the first, and gave the job out again.
  totals.suspected_rollback = (totals.suspected_rollback or 0) + 1
  return '0'
end

local function settle(at)
  local id, lease, text, rare, pressure, verb, delay_ms = unpack(ARGV, at, at + VERB)
  local result = all_held and '1' or check(id, lease, text, rare)
  if result ~= '1' and result ~= '3' then return result end
  press(pressure, count_open)
  if verb == 'end' then
    finish(id, at + VERB)
  else
    put_back(id, text, verb, delay_ms)
  end
  return result
end

local results = {}
for i, at in ipairs(steps) do results[i] = settle(at) end
if #finished > 0 then
  redis.call('ZREM', DEADLINES, unpack(finished))
  are_any_marked = redis.call('SREM', P .. 'marked', unpack(finished)) > 0
  totals.ended = #finished
end
for set, members in pairs(adds) do redis.call('ZADD', set, unpack(members)) end
if are_any_marked then
  for _, id in ipairs(finished) do call_children(id) end
end
list_standing()
local last_event
for i, id in ipairs(finished) do last_event = tell_end(id, outcomes[i]) end
if #texts > 0 then redis.call('MSET', unpack(texts)) end
for _, i in ipairs(shown) do
  if results[i] == '1' or results[i] == '3' then tell_progress(steps[i]) end
end
if #finished > 0 then
  local entry = { 'jobs', table.concat(finished, ' ') }
  -- If the clock was ahead once, all later events bear ids from the future. Then the entry says when the jobs ended.
  if tonumber(string.match(last_event, '^%d+')) > now + 1000 then entry[3], entry[4] = 'at', now end
  -- The entry has the last event's id. If a later entry exists (the clock went back), it has the next free id.
  if redis.pcall('XADD', ENDED, last_event, unpack(entry)).err then redis.call('XADD', ENDED, '*', unpack(entry)) end
end
for name, count in pairs(totals) do redis.call('HINCRBY', P .. 'totals', name, count) end
for class, times in pairs(paces) do
  if redis.call('LPUSH', P .. 'pace:' .. class, unpack(times)) > 128 then
    redis.call('LTRIM', P .. 'pace:' .. class, 0, 63)
  end
end
return table.concat(results)
