-- Takes the input that a job's task waits for; its next step, now if it waits already, uses it.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  job id
-- ARGV[2]  the stream entry that brought it: the same one twice is one input
-- ARGV[3]  the input, JSON
-- Returns 1 taken, 2 the job had ended before, 0 not known

local id = ARGV[1]
local fence, phase = read_job(id)
if not fence then return 0 end
if has_ended(phase) then return 2 end
if try('HGET', P .. 'more:' .. id, 'me') ~= ARGV[2] then
  note_more(id, 'modal', ARGV[3], 'me', ARGV[2])
  redis.call('HINCRBY', P .. 'more:' .. id, 'mn', 1)
end
if phase == 'held' and look_first(id) then return 1 end
-- It came early, or during a step: the settlement that finds that the task waits finds this.
note_more(id, 'mw', 1)
return 1
