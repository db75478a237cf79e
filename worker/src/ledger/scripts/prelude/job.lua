-- In front of the scripts that read or write jobs one by one.
--
-- `job:<id>` is text: the fence (of the claim under way, or else of the next claim), the phase and the record. Once the
-- job has ended, a second line names the entry of its event.

write_although_full()

-- Returns the fence as text, the phase, the record, and the event's entry ('' before the end); nil if there is no job.
local function read_job(id)
  local text = try('GET', P .. 'job:' .. id)
  if not text then return nil end
  return string.match(text, '^(%d+) (%a+) ([^\n]*)\n?(.*)$')
end

local function write_job(id, fence, phase, record, entry)
  local line = entry and entry ~= '' and '\n' .. entry or ''
  redis.call('SET', P .. 'job:' .. id, string.format('%d %s %s%s', fence, phase, record, line))
end

local function has_ended(phase) return phase == 'completed' or phase == 'failed' or phase == 'cancelled' end

-- Rare fields are in `more:<id>`. The set `marked` lists the jobs that have such fields, are large, or have waiting
-- children.
local function note_more(id, ...)
  if not try('HSET', P .. 'more:' .. id, ...) then
    redis.call('DEL', P .. 'more:' .. id)
    redis.call('HSET', P .. 'more:' .. id, ...)
  end
  redis.call('SADD', P .. 'marked', id)
end

-- Marks a job that is open again, if it has rare fields or is large.
local function mark_again(id)
  if redis.call('EXISTS', P .. 'more:' .. id, P .. 'large:' .. id) > 0 then redis.call('SADD', P .. 'marked', id) end
end

-- Moves the next poll of a job before all polls that are due. Returns whether the job was waiting for a poll. The score
-- is close to now, because pods take the first score to learn how late polls are (pace.rs).
local function poll_first(id)
  local first = redis.call('ZRANGE', P .. 'due:poll', 0, 0, 'WITHSCORES')[2]
  local front = math.min(now, (tonumber(first) or now) - 1)
  return redis.call('ZADD', P .. 'due:poll', 'XX', 'LT', 'CH', string.format('%d', front), id) == 1
end

