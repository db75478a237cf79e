-- Restores what Redis has lost of jobs beside their records: the jobs as they were enqueued. What is there stays.
--
-- PRELUDE  queue
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[…]  job after job: id, request, as kept.rs writes it
-- Returns how many were lost

write_although_full()
local restored = 0
for at = 1, #ARGV, 2 do
  if redis.call('SET', P .. 'request:' .. ARGV[at], ARGV[at + 1], 'NX') then restored = restored + 1 end
end
return restored
