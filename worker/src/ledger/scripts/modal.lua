-- Takes the input that a job's task waits for. The job's next step uses it; if the task waits already, that step is due
-- now.
--
-- In the same act the command leaves the job stream, unless the job is not known: the command may have come before its
-- job. So an input is taken once, and never replaces a later one.
--
-- PRELUDE  queue, rights, job, command
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  job id                    ARGV[2]  the stream entry that brought the command
-- ARGV[3]  the input, JSON
-- Returns 1 taken, 2 the job had ended before, 3 the entry is gone: it was obeyed before, 0 not known

local id = ARGV[1]
local fence, phase = read_job(id)
if not fence then return 0 end
-- A key of a foreign type fails here, before the entry has left the stream.
redis.call('ZCARD', P .. 'due:poll')
redis.call('SCARD', P .. 'marked')
if not take_entry(ARGV[2]) then return 3 end
if has_ended(phase) then return 2 end
note_more(id, 'modal', ARGV[3])
redis.call('HINCRBY', P .. 'more:' .. id, 'mn', 1)
if phase == 'held' and poll_first(id) then return 1 end
-- The input came early, or during a step. The settlement that finds the task waiting will find this mark.
note_more(id, 'mw', 1)
return 1
