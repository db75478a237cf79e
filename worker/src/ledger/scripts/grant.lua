-- Grants the place of one request beyond those that claims were granted, if the rate has room.
--
-- A caller that has a place, and has not used it in time, gives it up in any case. Otherwise its own place might be the
-- one that leaves no room.
--
-- PRELUDE  queue, gate, rate
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  'submit' or 'poll'
-- ARGV[2]  requests per window
-- ARGV[3]  that window, ms
-- ARGV[4]  when the caller's place was granted, Unix ms; 0 = the caller has none
-- Returns {ms until there may be room (0: the place is granted), the time of the grant, Unix ms}

local rate = P .. 'rate:' .. ARGV[1]
local n, window = tonumber(ARGV[2]), tonumber(ARGV[3])
if ARGV[4] ~= '0' then
  write_although_full()
  redis.call('LREM', rate, 1, ARGV[4])
end
local gate_ms = ARGV[1] == 'poll' and closed_until('polls_gate_ms', redis.call('HGET', P .. 'upstream', 'polls_gate_ms')) or 0
if gate_ms > 0 then return { gate_ms - now, now } end
local fits, wait_ms = room(rate, 1, n, window)
if fits == 0 then return { wait_ms, now } end
write_although_full()
spend(rate, 1, n)
return { 0, now }
