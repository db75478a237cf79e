-- Releases steps that their pod has claimed and cannot read: ends each lease, and puts the job back into its lane for a
-- while. Nothing was sent, so a submit is no longer intended.
--
-- A submit that was taken over from a worker whose lease ran out stays as it is: that worker may have sent it. If the
-- pod asks again after a lost reply, nothing changes: the lease is gone, and the next claim has a higher fence.
--
-- PRELUDE  queue, rights, gate, pressure, job
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  ms until the jobs may be claimed again
-- ARGV[2]  when the steps were granted, Unix ms
-- ARGV[3…] step after step: job id, fence
-- Returns how many were released

local function release(id, fence)
  local own, phase, record, entry = read_job(id)
  if own ~= fence then return 0 end
  local is_submit = phase == 'submitting'
  if is_submit and try('HGET', P .. 'more:' .. id, 'rn') == fence then return 0 end
  if redis.call('ZREM', P .. 'leases', fence .. ':' .. id) == 0 then return 0 end
  if is_submit then
    phase = 'queued'
    press('unsent ' .. ARGV[2] .. ' ' .. ARGV[2])
  end
  write_job(id, fence + 1, phase, record, entry)
  local lane = phase == 'queued' and 'due:later' or 'due:poll'
  redis.call('ZADD', P .. lane, string.format('%d', now + ARGV[1]), id)
  return 1
end

local released = 0
for at = 3, #ARGV, 2 do released = released + release(ARGV[at], ARGV[at + 1]) end
return released
