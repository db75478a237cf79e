-- Takes the input that a job's task waits for; its next step, now if it waits already, uses it.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  job id
-- ARGV[2]  the stream entry that brought it: the same one twice is one input
-- ARGV[3]  the input, JSON
-- Returns 1 taken, 2 the job had ended before, 0 not known

local P = KEYS[1]
local id = ARGV[1]
local key = P .. 'job:' .. id
local phase, taken = unpack(redis.call('HMGET', key, 'p', 'me'))
if not phase then return 0 end
if phase == 'completed' or phase == 'failed' or phase == 'cancelled' then return 2 end
if taken ~= ARGV[2] then
  redis.call('HSET', key, 'modal', ARGV[3], 'me', ARGV[2], 'x', 1)
  redis.call('HINCRBY', key, 'mn', 1)
end
if phase == 'held' then redis.call('ZADD', P .. 'due:poll', 'XX', 0, id) end
return 1
