-- Sweeps what its time has passed: ended jobs, and events that everybody has read.
--
-- Events go when they are older than the retention AND acknowledged in every consumer group; one
-- slow group keeps them. Bounded: at most 1,000 jobs and about 1,000 events a call.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  retention, ms
-- ARGV[2]  oldest event that some group still needs, or '' when no group holds any back
-- Returns how many jobs and events went: call again when it is many

local P = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local before = now - tonumber(ARGV[1])

local ended = redis.call('ZRANGEBYSCORE', P .. 'ended', '-inf', before, 'LIMIT', 0, 1000)
if #ended > 0 then
  for _, id in ipairs(ended) do
    redis.call('UNLINK', P .. 'job:' .. id, P .. 'request:' .. id, P .. 'more:' .. id, P .. 'large:' .. id,
      P .. 'shown:' .. id)
  end
  redis.call('ZREM', P .. 'ended', unpack(ended))
  redis.call('ZREM', P .. 'failed', unpack(ended))
  redis.call('ZREM', P .. 'late', unpack(ended))
end

local cut = string.format('%.0f-0', before)
if ARGV[2] ~= '' then
  local oldest_ms = tonumber(string.match(ARGV[2], '^(%d+)'))
  if oldest_ms < before then cut = ARGV[2] end
end
return #ended + redis.call('XTRIM', P .. 'events', 'MINID', '~', cut, 'LIMIT', 1000)
