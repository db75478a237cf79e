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

-- Whether one entry of a stream comes after another, by their ids.
local function is_after(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  a_ms, b_ms = tonumber(a_ms), tonumber(b_ms)
  return a_ms > b_ms or a_ms == b_ms and tonumber(a_seq) > tonumber(b_seq)
end

-- Deletes the entries and the jobs that they list. Returns how many jobs they list.
local function sweep(entries)
  local listed, ids, keys, seen = {}, {}, {}, {}
  for i, entry in ipairs(entries) do
    listed[i] = entry[1]
    for id in string.gmatch(entry[2][2], '%S+') do
      if not seen[id] then
        ids[#ids + 1] = id
        keys[#keys + 1] = P .. 'job:' .. id
      end
      seen[id] = entry[1]
    end
  end
  local gone, counted = {}, 0
  for i, text in ipairs(redis.call('MGET', unpack(keys))) do
    local id, event = ids[i], text and string.match(text, '\n(%d+%-%d+)')
    -- A listed job that is open, or has ended later, was retried in between, and is listed again at its new end.
    local is_over = event and not is_after(event, seen[id])
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

-- The first entries of `ended` that are old, at most 16. Their order counts, and not their ids, which may lie in the
-- future.
local function old_entries()
  local old = {}
  for _, entry in ipairs(redis.call('XRANGE', P .. 'ended', '-', '+', 'COUNT', 16)) do
    local at = entry[2][3] == 'at' and entry[2][4] or string.match(entry[1], '^%d+')
    if tonumber(at) > before then break end
    old[#old + 1] = entry
  end
  return old
end

local swept, cut = 0, string.format('%.0f-0', before)
redis.call('XTRIM', P .. 'rejected', 'MINID', '~', cut)
repeat
  local entries = old_entries()
  if #entries > 0 then
    swept = swept + sweep(entries)
    -- The events of these jobs are as old as they are.
    local last = entries[#entries][1]
    if is_after(last, cut) then cut = last end
  end
until #entries < 16 or swept >= 1000

if ARGV[2] ~= '' and is_after(cut, ARGV[2]) then cut = ARGV[2] end
return swept + redis.call('XTRIM', P .. 'events', 'MINID', '~', cut, 'LIMIT', 1000)
