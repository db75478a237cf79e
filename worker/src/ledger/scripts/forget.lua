-- Forgets pods that are gone: takes pods off the list of live workers if they have not shown themselves for long.
--
-- A pod's name is never used again. If the pod does live, its next beat puts it back.
--
-- PRELUDE  queue
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  how long a pod must have been silent, ms
-- Returns how many pods were forgotten

local long_ms = tonumber(ARGV[1])

local function has_shown_itself(beat)
  local is_json, fields = pcall(cjson.decode, beat)
  -- A beat of another version that cannot be read still shows a pod: it is left alone.
  if not is_json or type(fields) ~= 'table' then return true end
  return now - (tonumber(fields['seen_ms']) or now) < long_ms
end

local beats, gone = redis.call('HGETALL', P .. 'workers'), 0
for i = 1, #beats, 2 do
  if not has_shown_itself(beats[i + 1]) then gone = gone + redis.call('HDEL', P .. 'workers', beats[i]) end
end
return gone
