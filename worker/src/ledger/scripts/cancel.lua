-- Cancels a job: marks it, and lets its next step, now, find the mark and end it.
--
-- In the same act the command leaves the job stream, unless the job is not known: then it may wait for its job.
--
-- PRELUDE  queue, rights, job, command
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  job id                    ARGV[2]  the stream entry that brought the command; '' if none did
-- Returns 1 marked, 2 ended before, 3 the entry is gone: it was obeyed before, 0 not known

local id = ARGV[1]
local fence, phase = read_job(id)
if not fence then return 0 end
-- A key that somebody has made something else of fails here, before the entry has left the stream.
redis.call('ZCARD', P .. 'deadlines')
redis.call('SCARD', P .. 'marked')
if not take_entry(ARGV[2]) then return 3 end
if has_ended(phase) then return 2 end
note_more(id, 'c', 1)
-- What is overdue is taken before all else, pauses or not, and after a step that is under way.
redis.call('ZADD', P .. 'deadlines', 0, id)
return 1
