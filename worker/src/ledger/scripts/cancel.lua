-- Cancels a job: marks it, and makes its next step due now. That step finds the mark and ends the job.
--
-- In the same act the command leaves the job stream, unless the job is not known: the command may have come before its
-- job.
--
-- PRELUDE  queue, rights, job, command
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  job id                    ARGV[2]  the stream entry that brought the command; '' if none did
-- Returns 1 marked, 2 the job had ended before, 3 the entry is gone: it was obeyed before, 0 not known

local id = ARGV[1]
local fence, phase = read_job(id)
if not fence then return 0 end
-- A key of a foreign type fails here, before the entry has left the stream.
redis.call('ZCARD', P .. 'deadlines')
redis.call('SCARD', P .. 'marked')
if not take_entry(ARGV[2]) then return 3 end
if has_ended(phase) then return 2 end
note_more(id, 'c', 1)
-- Overdue jobs are claimed before all others, even during pauses, and once a step that is under way has ended.
redis.call('ZADD', P .. 'deadlines', 0, id)
return 1
