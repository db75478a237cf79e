-- Counts what the queue holds, all at one moment. Changes nothing.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- Returns {numbers, totals, upstream}:
--   numbers   flat, name, number, name, number … (times are Unix ms; 0 is "none")
--   totals    the hash `totals`, flat
--   upstream  the hash `upstream`, flat

local P = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function due(lane) return redis.call('ZCOUNT', P .. 'due:' .. lane, '-inf', now) end

-- The beginning of a text; '' if its key has a foreign type.
local function beginning(key)
  local text = redis.pcall('GETRANGE', P .. key, 0, 99)
  return type(text) == 'string' and text or ''
end

-- Scores of the submit lane are rank * 10^13 + enqueued ms, so the oldest job is the first of one of the ranks.
local oldest = 0
local function older(ms)
  if ms and ms > 0 and (oldest == 0 or ms < oldest) then oldest = ms end
end
for rank = 0, 2 do
  local base = rank * 10000000000000
  local first = redis.call('ZRANGEBYSCORE', P .. 'due:submit', string.format('%.0f', base),
    string.format('(%.0f', base + 10000000000000), 'WITHSCORES', 'LIMIT', 0, 1)
  if first[2] then older(tonumber(first[2]) - base) end
end
-- Delayed jobs that were claimed before (their next fence is not the first) wait for another submit, so they count,
-- too; jobs with a later start time do not. The first few are enough: another submit follows soon.
for _, id in ipairs(redis.call('ZRANGE', P .. 'due:later', 0, 9)) do
  local fence = string.match(beginning('job:' .. id), '^%d+')
  local score = string.match(beginning('request:' .. id), '^%S+ (%d+)')
  if score and tonumber(fence or 1) > 1 then older(tonumber(score) % 10000000000000) end
end
local entry = redis.call('XRANGE', P .. 'jobs', '-', '+', 'COUNT', 1)[1]
if entry then older(tonumber(string.match(entry[1], '^%d+'))) end

-- How many events come after the entry `last`, which a group was given last. Redis itself does not know it of a group
-- that was created at an entry, until the group has read everything. Beyond a thousand, counts all events.
local function events_after(last)
  local after = #redis.call('XRANGE', P .. 'events', '(' .. last, '+', 'COUNT', 1000)
  return after < 1000 and after or redis.call('XLEN', P .. 'events')
end

-- Events that the slowest consumer group has yet to read or acknowledge.
local unread, groups = 0, 0
if redis.call('EXISTS', P .. 'events') == 1 then
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', P .. 'events')) do
    local fields = {}
    for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
    groups = groups + 1
    local lag = fields['lag'] or events_after(fields['last-delivered-id'])
    unread = math.max(unread, lag + (fields['pending'] or 0))
  end
end

-- The time of the last event: ids of later events cannot be lower. Lua rounds the highest possible time.
local last_event = redis.call('XREVRANGE', P .. 'events', '+', '-', 'COUNT', 1)[1]
local last_event_ms = last_event and math.min(tonumber(string.match(last_event[1], '^%d+')), 2 ^ 53) or 0
-- Fails, as the other counts do, if the key has a foreign type.
redis.call('SCARD', P .. 'marked')

return {
  {
    'now_ms', now,
    'arrived', redis.call('XLEN', P .. 'jobs'),
    'queued', redis.call('ZCARD', P .. 'due:submit'),
    'delayed', redis.call('ZCARD', P .. 'due:later'),
    'polling', redis.call('ZCARD', P .. 'due:poll'),
    'in_step', redis.call('ZCARD', P .. 'leases'),
    'open', redis.call('ZCARD', P .. 'deadlines'),
    'held', redis.call('ZCARD', P .. 'held'),
    'unknown', redis.call('ZCARD', P .. 'unknown'),
    'failed', redis.call('ZCARD', P .. 'failed'),
    'delayed_due', due('later'),
    'polling_due', due('poll'),
    'events', redis.call('XLEN', P .. 'events'),
    'events_unread', unread,
    'event_groups', groups,
    'last_event_ms', last_event_ms,
    'rejected', redis.call('XLEN', P .. 'rejected'),
    'oldest_waiting_ms', oldest,
  },
  redis.call('HGETALL', P .. 'totals'),
  redis.call('HGETALL', P .. 'upstream'),
}
