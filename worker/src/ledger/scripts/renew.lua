-- Renews leases: lengthens those whose claim still holds.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  lease, ms
-- ARGV[2…] job id, fence, job id, fence …
-- Returns the ids whose claim no longer holds: their steps must not write anything any more

local P = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- On a full memory Redis refuses a script only until its first write, so this one comes first: what
-- has begun must be written down.
redis.call('DEL', P .. 'room')
local lost = {}
for at = 2, #ARGV, 2 do
  local id = ARGV[at]
  local holds = redis.call('HGET', P .. 'job:' .. id, 'f') == ARGV[at + 1] and redis.call('ZSCORE', P .. 'leases', id)
  if holds then
    redis.call('ZADD', P .. 'leases', 'XX', now + ARGV[1], id)
  else
    lost[#lost + 1] = id
  end
end
return lost
