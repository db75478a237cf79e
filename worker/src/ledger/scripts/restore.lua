-- Restores requests (the jobs as they were enqueued) that Redis has lost. Requests that Redis still has stay as they
-- are.
--
-- PRELUDE  queue
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[…]  job after job: id, request, as kept.rs writes it
-- Returns how many were restored

write_although_full()
local restored = 0
for at = 1, #ARGV, 2 do
  if redis.call('SET', P .. 'request:' .. ARGV[at], ARGV[at + 1], 'NX') then restored = restored + 1 end
end
return restored
