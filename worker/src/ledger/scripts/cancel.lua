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
redis.call('HSET', key, 'c', 1)
-- A step under way finds the mark when it is settled.
if not redis.call('ZSCORE', P .. 'leases', id) then
  redis.call('ZREM', P .. 'due:submit', id)
  redis.call('ZREM', P .. 'due:later', id)
  redis.call('ZADD', P .. 'due:poll', 0, id)
end
return 1
