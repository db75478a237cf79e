-- Renews leases: lengthens each lease whose claim still holds.
--
-- PRELUDE  queue
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  lease, ms
-- ARGV[2…] lease, lease … each named <fence>:<job id>
-- Returns the leases that no longer hold: their steps must write nothing any more

write_although_full()
local leases, kept, lost = {}, {}, {}
for at = 2, #ARGV do leases[#leases + 1] = ARGV[at] end
if #leases == 0 then return lost end
for i, held in ipairs(redis.call('ZMSCORE', P .. 'leases', unpack(leases))) do
  if held then
    kept[#kept + 1] = now + ARGV[1]
    kept[#kept + 1] = leases[i]
  else
    lost[#lost + 1] = leases[i]
  end
end
if #kept > 0 then redis.call('ZADD', P .. 'leases', 'XX', unpack(kept)) end
return lost
