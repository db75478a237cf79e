-- Cancels a job: marks it, and lets its next step, now, find the mark and end it.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  job id
-- Returns 1 marked, 2 ended before, 0 not known

local id = ARGV[1]
local fence, phase = read_job(id)
if not fence then return 0 end
if has_ended(phase) then return 2 end
note_more(id, 'c', 1)
-- What is overdue is taken before all else, pauses or not, and after a step that is under way.
redis.call('ZADD', P .. 'deadlines', 0, id)
return 1
