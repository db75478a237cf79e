-- Cancels a job: marks it, and lets its next step, now, find the mark and end it.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  job id
-- Returns 1 marked, 2 ended before, 0 not known

local P = KEYS[1]
local id = ARGV[1]
local key = P .. 'job:' .. id
local phase = redis.call('HGET', key, 'p')
if not phase then return 0 end
if phase == 'completed' or phase == 'failed' or phase == 'cancelled' then return 2 end
redis.call('HSET', key, 'c', 1, 'x', 1)
-- What is overdue is taken before all else, pauses or not, and after a step that is under way.
redis.call('ZADD', P .. 'deadlines', 0, id)
return 1
