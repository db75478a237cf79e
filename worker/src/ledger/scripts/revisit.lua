-- Hands out revisits: jobs that ended without their task, and whose task is to be polled once more.
--
-- In one atomic act: takes up to `limit` revisits that are due, within the budget of polls that all pods share, and
-- moves each to the time at which another pod may take it, in case this pod dies. The job itself is left alone: a later
-- annotation names the fence that the job has now.
--
-- Open jobs come first. Revisits leave half of the budget to them. While their polls are late, or need that half,
-- revisits get a tenth of it: there may be thousands of them after an outage of the upstream.
--
-- PRELUDE  queue, gate, rate
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  limit, revisits             ARGV[2]  ms until another pod may take the same revisits
-- ARGV[3]  poll requests per window, 0 = no limit    ARGV[4]  that window, ms
-- ARGV[5]  polls that one request carries
-- Returns {ms until there may be more (-1: none is waiting), revisit …}; a revisit is {id, text of the job}

local limit, again_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local n, window, polls_per_request = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local LATE, RATE = P .. 'late', P .. 'rate:poll'

local first = redis.call('ZRANGE', LATE, 0, 0, 'WITHSCORES')
if not first[2] then return { -1 } end
if tonumber(first[2]) > now then return { tonumber(first[2]) - now } end
local paused, gate_ms, revisited_ms = unpack(redis.call('HMGET', P .. 'upstream', 'paused', 'polls_gate_ms', 'revisited_ms'))
if paused == '1' then return { 1000 } end
gate_ms = closed_until('polls_gate_ms', gate_ms)
if gate_ms > 0 then return { gate_ms - now } end

local wanted, half = math.ceil(limit / polls_per_request), math.floor(n / 2)
local fits, wait_ms = room(RATE, wanted + half, n, window)
local requests = math.min(wanted, fits - half)
local is_late = #redis.call('ZRANGEBYSCORE', P .. 'due:poll', '-inf', now, 'LIMIT', 0, 1) > 0
local is_crowded = n > 0 and (is_late or requests <= 0)
if is_crowded then
  local rest_ms = 10 * window / n - ms_since(revisited_ms)
  if rest_ms > 0 then return { math.ceil(rest_ms) } end
  if fits == 0 then return { wait_ms } end
  requests = 1
end
limit = math.min(limit, requests * polls_per_request)

write_although_full()
if is_crowded then redis.call('HSET', P .. 'upstream', 'revisited_ms', now) end
local revisits = { 0 }
for _, id in ipairs(redis.call('ZRANGEBYSCORE', LATE, '-inf', now, 'LIMIT', 0, limit)) do
  local text = try('GET', P .. 'job:' .. id)
  if text and string.find(text, '^%d+ failed ') then
    redis.call('ZADD', LATE, now + again_ms, id)
    revisits[#revisits + 1] = { id, text }
  else
    redis.call('ZREM', LATE, id)
  end
end
spend(RATE, math.ceil((#revisits - 1) / polls_per_request), n)
return revisits
