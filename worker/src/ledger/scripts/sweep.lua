-- Sweeps what its time has passed: ended jobs, and events that everybody has read.
--
-- Events go when they are older than the retention AND acknowledged in every consumer group; one
-- slow group keeps them. Bounded: at most 1,000 jobs and about 1,000 events a call.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  retention, ms
-- ARGV[2]  oldest event that some group still needs, or '' when no group holds any back
-- Returns how many jobs and events went: call again when it is many

local before = now - tonumber(ARGV[1])

local entries = redis.call('XRANGE', P .. 'ended', '-', string.format('%.0f', before), 'COUNT', 1000)
if #entries > 0 then
  local listed, ids, keys = {}, {}, {}
  for i, entry in ipairs(entries) do
    listed[i], ids[i] = entry[1], entry[2][2]
    keys[i] = P .. 'job:' .. ids[i]
  end
  local ended = {}
  for i, text in ipairs(redis.call('MGET', unpack(keys))) do
    local id, ended_ms = ids[i], text and string.match(text, '\n(%d+)')
    -- One that is listed and open, or has ended later, was tried once more in between.
    if not text or ended_ms and tonumber(ended_ms) <= before then
      ended[#ended + 1] = id
      redis.call('UNLINK', keys[i], P .. 'request:' .. id, P .. 'more:' .. id, P .. 'large:' .. id, P .. 'shown:' .. id)
    end
  end
  redis.call('XDEL', P .. 'ended', unpack(listed))
  if #ended > 0 then
    redis.call('ZREM', P .. 'failed', unpack(ended))
    redis.call('ZREM', P .. 'late', unpack(ended))
  end
end

local cut = string.format('%.0f-0', before)
if ARGV[2] ~= '' then
  local oldest_ms = tonumber(string.match(ARGV[2], '^(%d+)'))
  if oldest_ms < before then cut = ARGV[2] end
end
return #entries + redis.call('XTRIM', P .. 'events', 'MINID', '~', cut, 'LIMIT', 1000)
