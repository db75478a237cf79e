-- Deletes what is older than the retention: ended jobs, events that every group has read, and unreadable entries.
--
-- Events are deleted when they are older than the retention AND acknowledged in every consumer group, so one
-- slow group keeps them. Bounded: at most some 2,000 jobs and about 1,000 events a call.
--
-- PRELUDE  queue
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  retention, ms
-- ARGV[2]  oldest event that some group still needs, or '' if no group needs any
-- Returns how many jobs and events were deleted: call again when the number is large

local before = now - tonumber(ARGV[1])

-- Deletes the entries and the jobs that they list. Returns how many jobs they list.
local function sweep(entries)
  local listed, ids, keys, seen = {}, {}, {}, {}
  for i, entry in ipairs(entries) do
    listed[i] = entry[1]
    for id in string.gmatch(entry[2][2], '%S+') do
      if not seen[id] then
        seen[id] = true
        ids[#ids + 1] = id
        keys[#keys + 1] = P .. 'job:' .. id
      end
    end
  end
  local gone, counted = {}, 0
  for i, text in ipairs(redis.call('MGET', unpack(keys))) do
    local id, ended_ms = ids[i], text and string.match(text, '\n(%d+)')
    -- A listed job that is open, or has ended later, was retried in between, and is listed again at its new end.
    local is_over = ended_ms and tonumber(ended_ms) <= before
    if is_over then counted = counted + 1 end
    if is_over or not text then
      gone[#gone + 1] = id
      redis.call('UNLINK', keys[i], P .. 'request:' .. id, P .. 'more:' .. id, P .. 'large:' .. id, P .. 'shown:' .. id)
    end
  end
  redis.call('XDEL', P .. 'ended', unpack(listed))
  if #gone > 0 then
    redis.call('ZREM', P .. 'failed', unpack(gone))
    redis.call('ZREM', P .. 'late', unpack(gone))
    redis.call('HINCRBY', P .. 'totals', 'ended', -counted)
  end
  return #ids
end

local swept = 0
repeat
  local entries = redis.call('XRANGE', P .. 'ended', '-', string.format('%.0f', before), 'COUNT', 16)
  if #entries > 0 then swept = swept + sweep(entries) end
until #entries == 0 or swept >= 1000

local cut = string.format('%.0f-0', before)
redis.call('XTRIM', P .. 'rejected', 'MINID', '~', cut)
if ARGV[2] ~= '' then
  local oldest_ms = tonumber(string.match(ARGV[2], '^(%d+)'))
  if oldest_ms < before then cut = ARGV[2] end
end
return swept + redis.call('XTRIM', P .. 'events', 'MINID', '~', cut, 'LIMIT', 1000)
