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
--   entry id, job id, digest of the body, job JSON, record, state, submit score, run at (Unix ms),
--   deadline (Unix ms), kind, data of the event in case of a conflict, or ''
-- Returns for each entry: 1 admitted, 2 known already, 3 conflict, 0 admitted by somebody else

local P = KEYS[1]
local group = ARGV[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- A larger job goes into a field that no claim reads along.
local LARGE = 8192
local results, acknowledged, submits, deadlines = {}, {}, {}, {}

local function create(key, id, digest, job, record, state, score, run_at, deadline)
  local field = #job > LARGE and 'large' or 'job'
  if state == '' then
    redis.call('HSET', key, 'f', 0, 'p', 'queued', 'h', digest, 'sc', score, 'r', record, field, job)
  else
    redis.call('HSET', key, 'f', 0, 'p', 'queued', 'h', digest, 'sc', score, 'r', record, field, job, 'st', state)
  end
  if tonumber(run_at) > now then
    redis.call('ZADD', P .. 'due:later', run_at, id)
  else
    submits[#submits + 1] = score
    submits[#submits + 1] = id
  end
  deadlines[#deadlines + 1] = deadline
  deadlines[#deadlines + 1] = id
end

-- Most jobs are new: to learn that of all of them costs one command.
local keys, seen = {}, {}
for at = 3, #ARGV, 11 do keys[#keys + 1] = P .. 'job:' .. ARGV[at] end
local some_exist = #keys > 0 and redis.call('EXISTS', unpack(keys)) > 0

local function admit(entry, id, digest, job, record, state, score, run_at, deadline, kind, conflict)
  local key = P .. 'job:' .. id
  local known, fence
  if some_exist or seen[id] then
    known, fence = unpack(redis.call('HMGET', key, 'h', 'f'))
  end
  seen[id] = true
  local is_conflict = known and known ~= digest
  if is_conflict and conflict == '' then return 3 end
  acknowledged[#acknowledged + 1] = entry
  if redis.call('XDEL', P .. 'jobs', entry) == 0 then return 0 end
  if is_conflict then
    redis.call('XADD', P .. 'events', '*', 'v', '1', 'type', 'rejected', 'job', id, 'kind', kind, 'state', state,
      'task', '', 'status', '', 'code', 'conflict', 'image_url', '', 'data', conflict)
    redis.call('HINCRBY', P .. 'totals', 'rejected:conflict', 1)
    return 3
  end
  if known then return 2 end
  if fence then
    -- A pod has restored what Redis had lost, but for the job itself.
    redis.call('HSET', key, 'h', digest, 'sc', score, 'job', job, 'st', state)
    return 2
  end
  create(key, id, digest, job, record, state, score, run_at, deadline)
  return 1
end

for at = 2, #ARGV, 11 do results[#results + 1] = admit(unpack(ARGV, at, at + 10)) end
if #acknowledged > 0 then redis.call('XACK', P .. 'jobs', group, unpack(acknowledged)) end
if #submits > 0 then redis.call('ZADD', P .. 'due:submit', unpack(submits)) end
if #deadlines > 0 then redis.call('ZADD', P .. 'deadlines', unpack(deadlines)) end
return results
