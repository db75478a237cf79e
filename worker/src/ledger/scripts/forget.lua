-- Forgets pods that are gone: a pod's name never comes again, and Redis would keep it for ever.
--
-- A pod goes from the list of live workers that has not shown itself for long; and a consumer goes that
-- has been idle for as long, has nothing pending and whose pod is not on that list. In one atomic act, or
-- an entry that is given to a consumer in between would be lost with it. Should it live all the same, its
-- next beat and its next read make it anew.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  consumer group of the admitters      ARGV[2]  how long is long, ms
-- Returns how many consumers went

local P = KEYS[1]
local group, long_ms = ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function has_shown_itself(beat)
  local is_json, fields = pcall(cjson.decode, beat)
  -- Another version's beat says at least that there was one: it is left alone.
  if not is_json or type(fields) ~= 'table' then return true end
  return now - (tonumber(fields['seen_ms']) or now) < long_ms
end

local beats, live = redis.call('HGETALL', P .. 'workers'), {}
for i = 1, #beats, 2 do
  if has_shown_itself(beats[i + 1]) then
    live[beats[i]] = true
  else
    redis.call('HDEL', P .. 'workers', beats[i])
  end
end

-- There is no stream or no group before the first worker has read.
local consumers = redis.pcall('XINFO', 'CONSUMERS', P .. 'jobs', group)
if consumers.err then return 0 end

local gone = 0
for _, consumer in ipairs(consumers) do
  local fields = {}
  for i = 1, #consumer, 2 do fields[consumer[i]] = consumer[i + 1] end
  if fields['pending'] == 0 and fields['idle'] >= long_ms and not live[fields['name']] then
    redis.call('XGROUP', 'DELCONSUMER', P .. 'jobs', group, fields['name'])
    gone = gone + 1
  end
end
return gone
