-- Rejects entries that cannot be read: moves them from the job stream to the rejected list.
--
-- In one atomic act per entry: deletes the entry from the stream, keeps it with the reason (the latest
-- 10,000 or so), and publishes its event if it has one.
--
-- PRELUDE  queue, rights, event
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[…]  entry after entry:
--   entry id, reason, the entry's text (cut), '1' if it has an event, job, kind, state, data of the event
-- Returns for each entry: 1 rejected, 0 another pod has dealt with it

-- A key of a foreign type fails here, before anything has left the stream.
redis.call('XLEN', P .. 'events')
redis.call('XLEN', P .. 'rejected')
redis.call('HGET', P .. 'totals', 'rejected:malformed')

local results = {}
for at = 1, #ARGV, 8 do
  local entry, reason, text, has_event, job, kind, state, data = unpack(ARGV, at, at + 7)
  local result = redis.call('XDEL', P .. 'jobs', entry)
  if result == 1 then
    redis.call('XADD', P .. 'rejected', 'MAXLEN', '~', 10000, '*', 'entry', entry, 'reason', reason, 'job', text)
    redis.call('HINCRBY', P .. 'totals', 'rejected:malformed', 1)
    if has_event == '1' then
      publish('rejected', job, kind, state, '', '', 'malformed', '', data)
    end
  end
  results[#results + 1] = result
end
return results
