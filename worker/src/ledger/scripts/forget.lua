-- Forgets consumers of pods that are gone: a pod's name never comes again, and Redis would keep it for ever.
--
-- In one atomic act, or an entry that is given to a consumer in between would be lost with it: a consumer
-- goes that has been idle for long, has nothing pending and whose pod has not shown itself for as long.
-- Should it live all the same, its next read makes it anew.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  consumer group of the admitters      ARGV[2]  how long is long, ms
-- Returns how many went

local P = KEYS[1]
local group, long_ms = ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- There is no stream or no group before the first worker has read.
local consumers = redis.pcall('XINFO', 'CONSUMERS', P .. 'jobs', group)
if consumers.err then return 0 end

local function has_shown_itself(pod)
  local beat = redis.call('HGET', P .. 'workers', pod)
  if not beat then return false end
  local is_json, fields = pcall(cjson.decode, beat)
  -- Another version's beat says at least that there was one: it is left alone.
  if not is_json or type(fields) ~= 'table' then return true end
  return now - (tonumber(fields['seen_ms']) or now) < long_ms
end

local gone = 0
for _, consumer in ipairs(consumers) do
  local fields = {}
  for i = 1, #consumer, 2 do fields[consumer[i]] = consumer[i + 1] end
  if fields['pending'] == 0 and fields['idle'] >= long_ms and not has_shown_itself(fields['name']) then
    redis.call('XGROUP', 'DELCONSUMER', P .. 'jobs', group, fields['name'])
    gone = gone + 1
  end
end
return gone
