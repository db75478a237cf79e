-- Grants one request more than the claims have been granted, if the rate leaves room for it.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  'submit' or 'poll'
-- ARGV[2]  requests per window
-- ARGV[3]  that window, ms
-- Returns 0 if it is granted, else ms until there may be room

local rate = P .. 'rate:' .. ARGV[1]
local n, window = tonumber(ARGV[2]), tonumber(ARGV[3])
local gate_ms = ARGV[1] == 'poll' and closed_until('looks_gate_ms', redis.call('HGET', P .. 'upstream', 'looks_gate_ms')) or 0
if gate_ms > 0 then return gate_ms - now end
local fits, wait_ms = room(rate, 1, n, window)
if fits == 0 then return wait_ms end
write_although_full()
spend(rate, 1, n)
return 0
