-- Admits jobs: moves entries of the job stream into the ledger.
--
-- In one atomic act per entry: deletes the entry from the stream, and writes the job's record, lane and
-- deadline. A known id with the same body changes nothing. A known id with another body gets a
-- `rejected` event. Without the data of that event, the script leaves such an entry as it is.
-- An entry that is no longer in the stream was admitted by another pod.
--
-- PRELUDE  queue, rights, event
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  retention, ms: a record is kept for at least this long after its entry came
-- ARGV[2]  '1' if the entries are neighbours: the stream has nothing between them
-- ARGV[3…] entry after entry:
--   entry id, job id, request (digest of the body, submit score, bytes of the state, place of the job, state, job), the
--     job's text (its first fence, phase, record), submit score, run at (Unix ms), deadline (Unix ms), the large job, the
--     large job without pictures, and for a conflict: kind, a space, data of the event; each '' if there is none. The
--     place is '=' if the job follows, 'L' if it is large and a text of its own, 'S' if there is a text without its
--     pictures, too
-- Returns a digit for each entry: 1 admitted, 2 known already, 3 conflict, 0 admitted by another pod

local call = redis.call
local retention_ms, are_neighbours = tonumber(ARGV[1]), ARGV[2] == '1'
local FIRST, EACH = 3, 10
local JOB, REQUEST = P .. 'job:', P .. 'request:'

local results, texts, submits, deadlines, marked = {}, {}, {}, {}, {}

local function write(key, text)
  local n = #texts
  texts[n + 1] = key
  texts[n + 2] = text
end

-- A large job is a text of its own, so that no claim reads it.
local function write_request(id, request, large, shown)
  write(REQUEST .. id, request)
  if large ~= '' then write(P .. 'large:' .. id, large) end
  if shown ~= '' then write(P .. 'shown:' .. id, shown) end
end

local function schedule(id, score, run_at, deadline, large)
  if tonumber(run_at) > now then
    call('ZADD', P .. 'due:later', run_at, id)
  else
    local n = #submits
    submits[n + 1] = score
    submits[n + 2] = id
  end
  local n = #deadlines
  deadlines[n + 1] = deadline
  deadlines[n + 2] = id
  -- The request of a large job may be long, too: it holds the state. A claim reads no request of a marked job that is
  -- large.
  if large ~= '' then marked[#marked + 1] = id end
end

-- Whether the job is known, and the digest of its body if so.
local function known_job(id)
  local is_known = call('EXISTS', JOB .. id) == 1
  local digest = string.match(call('GETRANGE', REQUEST .. id, 0, 80), '^%S+')
  -- A request without a record is left over from a job that Redis has lost: the job is admitted again.
  return is_known, is_known and digest
end

local function flush()
  if #texts > 0 then call('MSET', unpack(texts)) end
  texts = {}
end

local function admit(entry, id, request, text, score, run_at, deadline, large, shown, conflict)
  local is_known, known = known_job(id)
  local is_conflict = known and known ~= string.match(request, '^%S+')
  if is_conflict and conflict == '' then return 3 end
  if call('XDEL', P .. 'jobs', entry) == 0 then return 0 end
  if is_conflict then
    local kind, data = string.match(conflict, '^(%S*) (.*)$')
    local length, from = string.match(request, '^%S+ %S+ (%d+) %S ()')
    local state = string.sub(request, from, from + length - 1)
    publish('rejected', id, kind, state, '', '', 'conflict', '', data)
    call('HINCRBY', P .. 'totals', 'rejected:conflict', 1)
    return 3
  end
  if known then return 2 end
  -- A pod may have restored the record that Redis had lost, but not the request.
  if not is_known then write(JOB .. id, text) end
  write_request(id, request, large, shown)
  -- The next entry may have the same id.
  flush()
  if is_known then return 2 end
  schedule(id, score, run_at, deadline, large)
  return 1
end

-- Deletes entries. If they are the stream's beginning, trims the stream: deleting each entry costs more.
local function delete(entries)
  local first_is_large = ARGV[FIRST + 7] ~= ''
  local ms, seq = string.match(entries[#entries], '^(%d+)-(%d+)$')
  if are_neighbours and not first_is_large and #seq < 10 then
    local head = call('XRANGE', P .. 'jobs', '-', '+', 'COUNT', 1)[1]
    if head and head[1] == entries[1] then
      return call('XTRIM', P .. 'jobs', 'MINID', string.format('%s-%d', ms, seq + 1))
    end
  end
  call('XDEL', P .. 'jobs', unpack(entries))
end

-- Most jobs are new. Then one command writes all of them, and fails if any is known; one more deletes all entries. An
-- entry that came less than the retention ago has a record if it was ever admitted, so none of these was admitted
-- before.
local function admit_all_as_new()
  local entries, ids = {}, {}
  for at = FIRST, #ARGV, EACH do
    local entry, id, request, text = unpack(ARGV, at, at + 3)
    local age_ms = now - string.match(entry, '^%d+')
    if ids[id] or age_ms < 0 or age_ms >= retention_ms then return false end
    ids[id] = true
    entries[#entries + 1] = entry
    write(JOB .. id, text)
    write_request(id, request, ARGV[at + 7], ARGV[at + 8])
  end
  if call('MSETNX', unpack(texts)) == 0 then return false end
  delete(entries)
  for at = FIRST, #ARGV, EACH do schedule(ARGV[at + 1], unpack(ARGV, at + 4, at + 7)) end
  return true
end

if #ARGV < FIRST then return '' end
-- A key of a foreign type fails here, before anything has left the stream.
for _, lane in ipairs({ 'due:submit', 'due:later', 'deadlines' }) do call('ZCARD', P .. lane) end
call('SCARD', P .. 'marked')
if admit_all_as_new() then
  results[1] = string.rep('1', (#ARGV - FIRST + 1) / EACH)
else
  texts = {}
  -- The same check for the keys that a conflict writes.
  call('XLEN', P .. 'events')
  call('HGET', P .. 'totals', 'rejected:conflict')
  for at = FIRST, #ARGV, EACH do results[#results + 1] = admit(unpack(ARGV, at, at + EACH - 1)) end
end
if #marked > 0 then call('SADD', P .. 'marked', unpack(marked)) end
if #submits > 0 then call('ZADD', P .. 'due:submit', unpack(submits)) end
if #deadlines > 0 then call('ZADD', P .. 'deadlines', unpack(deadlines)) end
return table.concat(results)
