-- Pauses or resumes a queue, or only its submits, for all pods.
--
-- PRELUDE  queue
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  'all' or 'submits'
-- ARGV[2]  '1' to pause, '0' to resume
-- Returns 1 if this changed anything

-- An operator may pause the queue because Redis's memory is full.
write_although_full()
local field = ARGV[1] == 'all' and 'paused' or 'submits_paused'
if ARGV[2] == '1' then return redis.call('HSET', P .. 'upstream', field, 1) end
return redis.call('HDEL', P .. 'upstream', field)
