-- Looks back over the job stream: says up to where its entries were given out long ago.
--
-- What is still there up to that entry was read by a pod that died or did not get the reply; or it is a command
-- that waits for its job. In one atomic act: gives the place that was noted when somebody last asked, and notes how
-- far the entries are given out now. So of all pods one looks at a time.
--
-- PRELUDE  queue
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  consumer group of the admitters      ARGV[2]  how long ago is long, ms
-- Returns the id of the last such entry; nil if nobody has asked before, or somebody not long ago

local group, long_ms = ARGV[1], tonumber(ARGV[2])

local noted_ms, place = string.match(redis.call('GET', P .. 'given_out') or '', '^(%d+) (.*)$')
write_although_full()
local ago = noted_ms and now - noted_ms
if ago and ago >= 0 and ago < long_ms then return nil end

-- There is no stream or no group before the first worker has read.
local groups = redis.pcall('XINFO', 'GROUPS', P .. 'jobs')
if groups.err then return nil end
for _, fields in ipairs(groups) do
  local field = {}
  for i = 1, #fields, 2 do field[fields[i]] = fields[i + 1] end
  if field['name'] == group then
    redis.call('SET', P .. 'given_out', string.format('%d %s', now, field['last-delivered-id']))
  end
end
-- By a clock that went back, nobody knows how long ago it was.
return ago and ago >= 0 and place or nil
