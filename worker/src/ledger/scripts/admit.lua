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
--   entry id, job id, request (digest of the body, submit score, bytes of the state, '=' if the job follows, 'L' if
--   it is large and apart, 'S' if there is also one without its pictures; state, job), the job's text (its first
--   fence, phase, record), submit score, run at (Unix ms), deadline (Unix ms), the job if it is apart, the one
--   without pictures, in case of a conflict: kind, a space, data of the event; each '' if there is none
-- Returns a digit for each entry: 1 admitted, 2 known already, 3 conflict, 0 admitted by somebody else

local P = KEYS[1]
local call = redis.call
local group = ARGV[1]
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local JOB, REQUEST = P .. 'job:', P .. 'request:'

local results, acknowledged, texts, submits, deadlines = {}, {}, {}, {}, {}

local function write(key, text)
  texts[#texts + 1] = key
  texts[#texts + 1] = text
end

-- A large job is a text of its own, which no claim reads along.
local function write_request(id, request, large, shown)
  write(REQUEST .. id, request)
  if large ~= '' then write(P .. 'large:' .. id, large) end
  if shown ~= '' then write(P .. 'shown:' .. id, shown) end
end

local function create(id, request, text, score, run_at, deadline, large, shown)
  write(JOB .. id, text)
  write_request(id, request, large, shown)
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
  keys[#keys + 1] = JOB .. id
  same_id = same_id or ids[id]
  ids[id] = true
end
if #keys == 0 then return '' end
local all_new = not same_id and call('EXISTS', unpack(keys)) == 0
local all_ours = all_new and call('XACK', P .. 'jobs', group, unpack(entries)) == #entries
if all_ours then call('XDEL', P .. 'jobs', unpack(entries)) end

-- What is known of a job when it is asked for: whether there is one, and the digest of its body.
local function known_job(id)
  local digest = string.match(call('GETRANGE', REQUEST .. id, 0, 80), '^%S+')
  return digest or call('EXISTS', JOB .. id) == 1, digest
end

local function flush()
  if #texts > 0 then call('MSET', unpack(texts)) end
  texts = {}
end

local function admit(entry, id, request, text, score, run_at, deadline, large, shown, conflict)
  if all_ours then
    create(id, request, text, score, run_at, deadline, large, shown)
    return 1
  end
  local is_known, known = known_job(id)
  local is_conflict = known and known ~= string.match(request, '^%S+')
  if is_conflict and conflict == '' then return 3 end
  acknowledged[#acknowledged + 1] = entry
  if call('XDEL', P .. 'jobs', entry) == 0 then return 0 end
  if is_conflict then
    local kind, data = string.match(conflict, '^(%S*) (.*)$')
    local length, from = string.match(request, '^%S+ %S+ (%d+) %S ()')
    call('XADD', P .. 'events', '*', 'v', '1', 'type', 'rejected', 'job', id, 'kind', kind,
      'state', string.sub(request, from, from + length - 1), 'task', '', 'status', '', 'code', 'conflict',
      'image_url', '', 'data', data)
    call('HINCRBY', P .. 'totals', 'rejected:conflict', 1)
    return 3
  end
  if known then return 2 end
  if is_known then
    -- A pod has restored what Redis had lost, but for the request.
    write_request(id, request, large, shown)
    flush()
    return 2
  end
  create(id, request, text, score, run_at, deadline, large, shown)
  -- The next entry may have the same id.
  flush()
  return 1
end

for at = 2, #ARGV, 10 do results[#results + 1] = admit(unpack(ARGV, at, at + 9)) end
flush()
if #acknowledged > 0 then call('XACK', P .. 'jobs', group, unpack(acknowledged)) end
if #submits > 0 then call('ZADD', P .. 'due:submit', unpack(submits)) end
if #deadlines > 0 then call('ZADD', P .. 'deadlines', unpack(deadlines)) end
return table.concat(results)
