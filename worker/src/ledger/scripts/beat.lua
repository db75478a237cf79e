-- Shows a pod on the list of live workers. A list that nobody writes to any more goes by itself.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  pod name    ARGV[2]  its beat, JSON
-- Returns how many pods are on the list

local WORKERS = P .. 'workers'
write_although_full()
redis.call('HSET', WORKERS, ARGV[1], ARGV[2])
redis.call('EXPIRE', WORKERS, 3600)
return redis.call('HLEN', WORKERS)
