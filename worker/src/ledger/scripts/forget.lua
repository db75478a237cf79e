-- Forgets pods that are gone: takes those off the list of live workers that have not shown themselves for long.
--
-- A pod's name never comes again. Should it live all the same, its next beat puts it back.
--
-- PRELUDE  queue
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  how long is long, ms
-- Returns how many went

local long_ms = tonumber(ARGV[1])

local function has_shown_itself(beat)
  local is_json, fields = pcall(cjson.decode, beat)
  -- Another version's beat says at least that there was one: it is left alone.
  if not is_json or type(fields) ~= 'table' then return true end
  return now - (tonumber(fields['seen_ms']) or now) < long_ms
end

local beats, gone = redis.call('HGETALL', P .. 'workers'), 0
for i = 1, #beats, 2 do
  if not has_shown_itself(beats[i + 1]) then gone = gone + redis.call('HDEL', P .. 'workers', beats[i]) end
end
return gone
