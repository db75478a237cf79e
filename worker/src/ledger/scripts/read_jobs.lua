-- Reads entries of the job stream: as many as are wanted, and fewer if they are large.
--
-- Nobody knows how large an entry is before it is read. So they are read a few at a time, until there are enough of them
-- or of their bytes. In one atomic act: gives out new ones, or reads some again, whoever was given them.
--
-- PRELUDE  queue
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  the most entries          ARGV[2]  how many bytes are enough
-- ARGV[3]  the group that new ones are given out to; '' to read again, then:
-- ARGV[4]  the first id              ARGV[5]  the last id, both as XRANGE takes them
-- Returns the entries, as XRANGE does

local most, enough, group, from, to = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
-- So many may be large.
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
  -- There is no group before the first worker has made it.
  if few.err then return few end
  for _, entry in ipairs(few) do
    entries[#entries + 1] = entry
    for _, text in ipairs(entry[2]) do bytes = bytes + #text end
    from = '(' .. entry[1]
  end
until #few < FEW or #entries >= most or bytes >= enough
return entries
