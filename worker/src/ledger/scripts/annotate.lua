-- Annotates an ended job: writes what was learnt of its task after the end. This is no transition.
--
-- PRELUDE  queue, job
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  job id                    ARGV[2]  the fence that its next claim would have
-- ARGV[3]  record, or '' to leave it as it is
-- ARGV[4]  ms until the next revisit of its task, or '' for none
-- Returns 1 written, 0 the job is gone, or was retried since

local id = ARGV[1]
local fence, phase, _, entry = read_job(id)
if fence and (fence ~= ARGV[2] or (phase ~= 'failed' and phase ~= 'cancelled')) then return 0 end
if ARGV[4] == '' or not fence then
  redis.call('ZREM', P .. 'late', id)
else
  redis.call('ZADD', P .. 'late', 'XX', now + tonumber(ARGV[4]), id)
end
if not fence then return 0 end
if ARGV[3] ~= '' then write_job(id, fence, phase, ARGV[3], entry) end
return 1
