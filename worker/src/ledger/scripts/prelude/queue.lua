-- In front of every script: the queue's prefix and the time.

local P = KEYS[1]
local clock = redis.call('TIME')
-- Unix milliseconds, by the only clock that counts.
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- While a Cluster moves the queue's slot, a script may find some of its keys here, and others not yet: it must not begin.
-- Redis says so of two keys that are not there.
redis.call('EXISTS', P, P .. 'nothing')

-- On a full memory Redis refuses a script only until its first write. Scripts whose writes are little, or the end of
-- what has begun, make this one first.
local function write_although_full() redis.call('DEL', P .. 'room') end

-- What a command about one job answers; nil where somebody has made something else of its key. Such a job must not stop
-- those that are dealt with in the same call.
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then return nil end
  return reply
end

-- The score of a job in `due:submit`, which its request begins with; nil when Redis has lost it.
local function submit_score(id)
  return string.match(try('GETRANGE', P .. 'request:' .. id, 0, 80) or '', '^%S+ (%d+) ')
end

