-- Grants one poll request more than the claims have, if the rate leaves room for it.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  poll requests per window
-- ARGV[2]  that window, ms
-- Returns 0 if it is granted, else ms until there may be room

local rate = KEYS[1] .. 'rate:poll'
local n, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local grant = tonumber(redis.call('LINDEX', rate, n - 1) or 0)
if now - grant < window then return grant + window - now end
redis.call('LPUSH', rate, now)
redis.call('LTRIM', rate, 0, n - 1)
return 0
