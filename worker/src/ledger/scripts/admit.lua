-- Admits jobs: moves entries of the job stream into the ledger.
--
-- In one atomic act per entry: deletes it from the stream, and writes the job's record, lane and
-- deadline. An id that is known with the same body changes nothing; one with another body gets a
-- `rejected` event, for which its data has to be given: without, the entry is left as it is.
-- An entry that is no longer in the stream was admitted by somebody else.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  consumer group of the admitters
-- ARGV[2…] entry after entry:
--   entry id, job id, identity (digest of the body, submit score, state; a space between), job JSON,
--   record, submit score, run at (Unix ms), deadline (Unix ms), the job without its pictures when they
--   make it large, else '', in case of a conflict: kind, a space, data of the event; else ''
-- Returns a digit for each entry: 1 admitted, 2 known already, 3 conflict, 0 admitted by somebody else

local P = KEYS[1]
local call = redis.call
local group = ARGV[1]
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- A larger job goes into a field that no claim reads along.
local LARGE = 8192
local results, acknowledged, submits, deadlines = {}, {}, {}, {}

local function create(key, id, identity, job, record, score, run_at, deadline, shown)
  if #job > LARGE then
    call('HSET', key, 'f', 0, 'p', 'queued', 'r', record, 'i', identity, 'large', job)
    if shown ~= '' then call('HSET', key, 'shown', shown) end
  else
    call('HSET', key, 'f', 0, 'p', 'queued', 'r', record, 'i', identity, 'job', job)
  end
  if tonumber(run_at) > now then
    call('ZADD', P .. 'due:later', run_at, id)
  else
    submits[#submits + 1] = score
    submits[#submits + 1] = id
  end
  deadlines[#deadlines + 1] = deadline
  deadlines[#deadlines + 1] = id
end

-- Most jobs are new, and their entries still given to this group: to learn that of all of them costs
-- two commands. Whoever admits an entry acknowledges it in the same act.
local keys, entries, ids, same_id = {}, {}, {}, false
for at = 2, #ARGV, 10 do
  local id = ARGV[at + 1]
  entries[#entries + 1] = ARGV[at]
  keys[#keys + 1] = P .. 'job:' .. id
  same_id = same_id or ids[id]
  ids[id] = true
end
if #keys == 0 then return '' end
local all_new = not same_id and call('EXISTS', unpack(keys)) == 0
local all_ours = all_new and call('XACK', P .. 'jobs', group, unpack(entries)) == #entries
if all_ours then call('XDEL', P .. 'jobs', unpack(entries)) end

local function admit(key, entry, id, identity, job, record, score, run_at, deadline, shown, conflict)
  if all_ours then
    create(key, id, identity, job, record, score, run_at, deadline, shown)
    return 1
  end
  local known, fence = unpack(call('HMGET', key, 'i', 'f'))
  local digest = string.match(identity, '^%S+')
  local is_conflict = known and string.sub(known, 1, #digest) ~= digest
  if is_conflict and conflict == '' then return 3 end
  acknowledged[#acknowledged + 1] = entry
  if call('XDEL', P .. 'jobs', entry) == 0 then return 0 end
  if is_conflict then
    local kind, data = string.match(conflict, '^(%S*) (.*)$')
    call('XADD', P .. 'events', '*', 'v', '1', 'type', 'rejected', 'job', id, 'kind', kind,
      'state', string.match(identity, '^%S+ %S+ (.*)$'), 'task', '', 'status', '', 'code', 'conflict',
      'image_url', '', 'data', data)
    call('HINCRBY', P .. 'totals', 'rejected:conflict', 1)
    return 3
  end
  if known then return 2 end
  if fence then
    -- A pod has restored what Redis had lost, but for the job itself.
    call('HSET', key, 'i', identity, 'job', job)
    return 2
  end
  create(key, id, identity, job, record, score, run_at, deadline, shown)
  return 1
end

for i, key in ipairs(keys) do
  local at = 10 * i - 8
  results[i] = admit(key, unpack(ARGV, at, at + 9))
end
if #acknowledged > 0 then call('XACK', P .. 'jobs', group, unpack(acknowledged)) end
if #submits > 0 then call('ZADD', P .. 'due:submit', unpack(submits)) end
if #deadlines > 0 then call('ZADD', P .. 'deadlines', unpack(deadlines)) end
return table.concat(results)
