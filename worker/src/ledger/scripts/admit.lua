-- Admits jobs: moves entries of the job stream into the ledger.
--
-- In one atomic act per entry: deletes it from the stream, and writes the job's record, lane and
-- deadline. An id that is known with the same body changes nothing; one with another body gets a
-- `rejected` event. An entry that is no longer in the stream was admitted by somebody else.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  consumer group of the admitters
-- ARGV[2…] entry after entry:
--   entry id, job id, digest of the body, job JSON, record, state, submit score, run at (Unix ms),
--   deadline (Unix ms), kind, data of the event in case of a conflict
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

for at = 2, #ARGV, 11 do
  local entry, id, digest, job, record, state, score, run_at, deadline, kind, conflict = unpack(ARGV, at, at + 10)
  local key = P .. 'job:' .. id
  acknowledged[#acknowledged + 1] = entry
  local result
  if redis.call('XDEL', P .. 'jobs', entry) == 0 then
    result = 0
  else
    local known, fence = unpack(redis.call('HMGET', key, 'h', 'f'))
    if not known and fence then
      -- A pod has restored what Redis had lost, but for the job itself.
      redis.call('HSET', key, 'h', digest, 'sc', score, 'job', job, 'st', state)
      result = 2
    elseif not known then
      create(key, id, digest, job, record, state, score, run_at, deadline)
      result = 1
    elseif known == digest then
      result = 2
    else
      redis.call('XADD', P .. 'events', '*', 'v', '1', 'type', 'rejected', 'job', id, 'kind', kind, 'state', state,
        'task', '', 'status', '', 'code', 'conflict', 'image_url', '', 'data', conflict)
      redis.call('HINCRBY', P .. 'totals', 'rejected:conflict', 1)
      result = 3
    end
  end
  results[#results + 1] = result
end
redis.call('XACK', P .. 'jobs', group, unpack(acknowledged))
if #submits > 0 then redis.call('ZADD', P .. 'due:submit', unpack(submits)) end
if #deadlines > 0 then redis.call('ZADD', P .. 'deadlines', unpack(deadlines)) end
return results
