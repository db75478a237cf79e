-- Reads entries of the job stream: as many as are wanted, or fewer if they are large.
--
-- The size of an entry is not known before it is read. So entries are read a few at a time, until their number or their
-- bytes are enough. In one atomic act: gives out new entries, or reads old ones again, no matter which pod had them.
--
-- PRELUDE  queue
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  the most entries          ARGV[2]  how many bytes are enough
-- ARGV[3]  the group to which new entries are given out; '' to read old ones again, then:
-- ARGV[4]  the first id              ARGV[5]  the last id, both as XRANGE takes them
-- Returns the entries, as XRANGE does

local most, enough, group, from, to = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
-- Entries read at a time: even if all of them are large, they are not too much.
local FEW = 4

local function read(count)
  if group == '' then return redis.call('XRANGE', P .. 'jobs', from, to, 'COUNT', count) end
  local words = { 'GROUP', group, group, 'COUNT', count, 'NOACK', 'STREAMS', P .. 'jobs', '>' }
  local streams = redis.pcall('XREADGROUP', unpack(words))
  if not streams then return {} end
  if streams.err then return streams end
  return streams[1][2]
end

local entries, bytes = {}, 0
repeat
  local few = read(math.min(FEW, most - #entries))
  -- The group does not exist before the first worker has made it.
  if few.err then return few end
  for _, entry in ipairs(few) do
    entries[#entries + 1] = entry
    for _, text in ipairs(entry[2]) do bytes = bytes + #text end
    from = '(' .. entry[1]
  end
until #few < FEW or #entries >= most or bytes >= enough
return entries
