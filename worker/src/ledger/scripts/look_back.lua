-- Looks back over the job stream: says up to which entry the stream was given out long ago.
--
-- If an entry up to there is still in the stream, the pod that read it died or did not get the reply; or the entry is a
-- command that waits for its job. In one atomic act: returns the place that was noted at the last call, and notes up to
-- which entry the stream is given out now. So only one of the pods looks back at a time.
--
-- PRELUDE  queue
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  consumer group of the admitters      ARGV[2]  how long ago the last call must be, ms
-- Returns the id of that entry; nil at the first call, or if the last call was more recent

local group, long_ms = ARGV[1], tonumber(ARGV[2])

local noted_ms, place = string.match(redis.call('GET', P .. 'given_out') or '', '^(%d+) (.*)$')
write_although_full()
local ago = noted_ms and now - noted_ms
if ago and ago >= 0 and ago < long_ms then return nil end

-- The stream and the group do not exist before the first worker has read.
local groups = redis.pcall('XINFO', 'GROUPS', P .. 'jobs')
if groups.err then return nil end
for _, fields in ipairs(groups) do
  local field = {}
  for i = 1, #fields, 2 do field[fields[i]] = fields[i + 1] end
  if field['name'] == group then
    redis.call('SET', P .. 'given_out', string.format('%d %s', now, field['last-delivered-id']))
  end
end
-- If the clock went back, the age of the note is not known.
return ago and ago >= 0 and place or nil
