-- Reasserts claims: a pod says which steps it has under way, to a Redis that may have lost its last writes.
--
-- A takeover raises the fence. So if a claim is newer than all that Redis knows of the job, Redis has lost the claim.
-- The same holds if the record is gone before its time. The claim is then restored as it was: out of the lanes, leased,
-- with its record and its intent. Claims go on once every pod has said all that it holds: each pod that Redis lists,
-- and as many pods as any of them knew before, since the list of pods may be as old as the rest.
--
-- PRELUDE  queue, rights, job, server, standing
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  pod name    ARGV[2]  lease, ms
-- ARGV[3]  the name of the gate (prelude/server.lua) that was closed when the pod began its report, once the pod has
--   reported all that it holds; else 0
-- ARGV[4]  how many pods this pod has lately seen
-- ARGV[5…] step after step: id, fence, until when the record cannot have been swept (Unix ms), phase,
--   record, deadline (Unix ms)
-- Returns {the name of the gate (0: it is open), for each step 1 restored, 0 nothing to restore}

local pod, lease_ms, told = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local LEASES, UPSTREAM, REPORTED = P .. 'leases', P .. 'upstream', P .. 'reported'

local known, gate_ms, gated_ms = unpack(redis.call('HMGET', UPSTREAM, 'server', 'server_gate_ms', 'gated_ms'))
local gate = gate_name(server_gate(known, gate_ms), gated_ms)

local function reassert(id, fence, kept_until_ms, phase, record, deadline)
  local lease = fence .. ':' .. id
  if redis.call('ZSCORE', LEASES, lease) then
    -- The pod could not renew the lease meanwhile.
    redis.call('ZADD', LEASES, now + lease_ms, lease)
    return 0
  end
  local known, _, _, entry = read_job(id)
  if known and tonumber(known) > tonumber(fence) or not known and now >= tonumber(kept_until_ms) then return 0 end
  -- The job has ended under the claim before, and its event is out: see settle.lua.
  if known == fence and entry ~= '' then return 0 end
  for _, lane in ipairs({ 'due:submit', 'due:later', 'due:poll' }) do redis.call('ZREM', P .. lane, id) end
  if known then redis.call('ZREM', LEASES, known .. ':' .. id) end
  write_job(id, fence, phase, record)
  phases[id] = phase
  mark_again(id)
  redis.call('ZADD', LEASES, now + lease_ms, lease)
  redis.call('ZADD', P .. 'deadlines', deadline, id)
  redis.call('HINCRBY', P .. 'totals', 'suspected_rollback', 1)
  return 1
end

local results = { gate }
for at = 5, #ARGV, 6 do results[#results + 1] = reassert(unpack(ARGV, at, at + 5)) end
list_standing()

local function have_all_reported()
  local pods = math.max(tonumber(ARGV[4]), tonumber(redis.call('HGET', UPSTREAM, 'pods') or 0))
  redis.call('HSET', UPSTREAM, 'pods', pods)
  if redis.call('SCARD', REPORTED) < pods then return false end
  for _, other in ipairs(redis.call('HKEYS', P .. 'workers')) do
    if redis.call('SISMEMBER', REPORTED, other) == 0 then return false end
  end
  return true
end

-- A report to another server does not count: this server may have lost it.
if gate ~= 0 and gate == told then
  redis.call('SADD', REPORTED, pod)
  redis.call('PEXPIRE', REPORTED, GATE_MS)
  if have_all_reported() then redis.call('HDEL', UPSTREAM, 'server_gate_ms', 'pods') end
end
return results
