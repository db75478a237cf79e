-- Grants one request more than the claims have been granted, if the rate leaves room for it.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  'submit' or 'poll'
-- ARGV[2]  requests per window
-- ARGV[3]  that window, ms
-- Returns 0 if it is granted, else ms until there may be room

local rate = KEYS[1] .. 'rate:' .. ARGV[1]
local n, window = tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local gate_ms = ARGV[1] == 'poll' and redis.call('HGET', KEYS[1] .. 'upstream', 'looks_gate_ms')
if gate_ms and tonumber(gate_ms) > now then return gate_ms - now end
local grant = tonumber(redis.call('LINDEX', rate, n - 1) or 0)
if now - grant < window then return grant + window - now end
-- On a full memory Redis refuses a script only until its first write: what has begun must come to its end.
redis.call('DEL', KEYS[1] .. 'room')
redis.call('LPUSH', rate, now)
redis.call('LTRIM', rate, 0, n - 1)
return 0
