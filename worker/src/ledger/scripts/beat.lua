-- Shows a pod on the list of live workers. Redis drops the list once no pod writes to it any more.
--
-- Pods may have different retentions, at least while a setting is rolled out. A pod may treat a record as lost, and
-- write it again, only if no pod can have swept it. So the shortest retention is noted here. It is forgotten once no
-- pod has had it for as long as this pod keeps jobs.
--
-- PRELUDE  queue
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  pod name    ARGV[2]  its beat, JSON    ARGV[3]  its retention, ms
-- Returns {how many pods are on the list, the shortest retention, ms}

local WORKERS, UPSTREAM = P .. 'workers', P .. 'upstream'
write_although_full()
redis.call('HSET', WORKERS, ARGV[1], ARGV[2])
redis.call('EXPIRE', WORKERS, 3600)

local own_ms = tonumber(ARGV[3])
local noted = redis.call('HMGET', UPSTREAM, 'retention_ms', 'retention_seen_ms')
local shortest_ms, seen_ms = tonumber(noted[1] or own_ms), tonumber(noted[2] or 0)
if own_ms <= shortest_ms or now - seen_ms > own_ms then
  shortest_ms = own_ms
  redis.call('HSET', UPSTREAM, 'retention_ms', own_ms, 'retention_seen_ms', now)
end
return { redis.call('HLEN', WORKERS), shortest_ms }
