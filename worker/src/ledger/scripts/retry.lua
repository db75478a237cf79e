-- Retries an ended job as a new attempt, with its history.
--
-- PRELUDE  queue, rights, job
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  job id                    ARGV[2]  the fence that was read with the record
-- ARGV[3]  record                    ARGV[4]  deadline, Unix ms
-- Returns 1 queued, 2 the job has changed since it was read, 0 not known. Asked again after a lost reply: 1 again.

local id = ARGV[1]
local fence, phase, record = read_job(id)
if not fence then return 0 end
if fence == string.format('%d', ARGV[2] + 1) and record == ARGV[3] then return 1 end
if fence ~= ARGV[2] or (phase ~= 'failed' and phase ~= 'cancelled') then return 2 end
write_job(id, fence + 1, 'queued', ARGV[3])
redis.call('HDEL', P .. 'more:' .. id, 'c', 'hint')
mark_again(id)
-- The list of ended jobs stays as it is: its readers check each job.
redis.call('HINCRBY', P .. 'totals', 'ended', -1)
redis.call('ZREM', P .. 'failed', id)
redis.call('ZREM', P .. 'late', id)
-- A request that Redis has lost leaves no score. The job's first step then says that the request is gone.
redis.call('ZADD', P .. 'due:submit', submit_score(id) or 0, id)
redis.call('ZADD', P .. 'deadlines', ARGV[4], id)
return 1
