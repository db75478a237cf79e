-- In front of every script: the queue's prefix and the time.

local P = KEYS[1]
local clock = redis.call('TIME')
-- Unix milliseconds, by Redis's clock: no other clock counts.
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- While a Cluster moves the queue's slot, some of its keys may be here and others not yet. Then a script must not
-- begin. This command on two missing keys makes Redis report that state.
redis.call('EXISTS', P, P .. 'nothing')

-- When its memory is full, Redis refuses a script only until the script's first write. Scripts that write little, or
-- that finish what has begun, make this write first.
local function write_although_full() redis.call('DEL', P .. 'room') end

-- Runs a command about one job. Returns nil if its key has a foreign type: such a job must not stop the other jobs of
-- the same call.
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then return nil end
  return reply
end

-- The score of a job in `due:submit`, the second word of its request; nil if Redis has lost the request.
local function submit_score(id)
  return string.match(try('GETRANGE', P .. 'request:' .. id, 0, 80) or '', '^%S+ (%d+) ')
end

