-- In front of the scripts that tell all pods what a step showed of the upstream (settle.lua, release.lua).
--
-- A pressure is a word; some have numbers after it, each behind a space:
--   none             nothing
--   accepted         the upstream took a job
--   up               the upstream answered
--   found            the task of a lost submit was found
--   saturated <ms>   the upstream has too much, and asks for this pause of submits (0: for none)
--   throttled <ms>   the upstream asks for this pause of polls
--   down <ms>        the upstream takes nothing from us: it refuses our key, or our money is spent
--   away <ms>        the upstream is not there
--   misaddressed <ms>  a server is there, and has no such address
--   lost <ms>        the upstream left a submit unanswered
--   unsent <ms> <ms>  a submit was not sent after all: the times of its claim and of the grant of its place (0: it has
--     no place), Unix ms
-- The number of `down`, `away`, `misaddressed` and `lost` is the time of the submit's claim, Unix ms.
--
-- A pressure changes two things.
-- - The limit of open tasks: additive increase, multiplicative decrease. It starts from the number of tasks that were
--   open at the first refusal, and is never below 1 (from there on, submits pause). It is dropped once it is far above
--   the number of open tasks. After a quiet while, claim.lua lets one more submit go. When the upstream takes a submit,
--   it has room for all tasks that are open then.
-- - The breaker: it opens with the first `down`, `away` or `misaddressed`, and with a run of `lost`. It doubles its
--   pause each time that a probe fails again. If a probe's answer is lost, the breaker keeps the pauses of the cause that
--   opened it.

local UPSTREAM = P .. 'upstream'

-- Lost answers in a row, over all pods, that open the breaker. Each may be a charge that nobody gets, so the number
-- must be small. A few are usual when a relay restarts, or a pod's network breaks off.
local RUN = 20

-- The breaker's first and longest pause, ms, by what opened it. Probes do not bother an upstream that is not there.
local PAUSES =
  { down = { 2000, 30000 }, away = { 1000, 5000 }, misaddressed = { 1000, 5000 }, lost = { 1000, 10000 } }

-- Fields of the hash `upstream`: read when first needed, and kept up to date from then on.
local upstream
local DOWN, OPENED, LIMIT, LOWERED, LOST, CAUSE, FULL = 1, 2, 3, 4, 5, 6, 7
local function upstream_field(name)
  upstream = upstream
    or redis.call('HMGET', UPSTREAM, 'down', 'opened_ms', 'limit', 'lowered_ms', 'lost', 'cause', 'full')
  return tonumber(upstream[name] or 0)
end

-- Closes a gate for a while. A shorter pause does not shorten a longer one.
local function close(gate, pause_ms)
  local opens_ms = math.max(now + pause_ms, closed_until(gate, redis.call('HGET', UPSTREAM, gate)))
  redis.call('HSET', UPSTREAM, gate, string.format('%d', opens_ms))
end

local function open_breaker(pressure, claimed_ms)
  local down = upstream_field(DOWN)
  if down == 0 then
    upstream[OPENED] = now
    redis.call('HSET', UPSTREAM, 'opened_ms', now)
  elseif redis.call('HGET', UPSTREAM, 'probing') == claimed_ms then
    redis.call('HDEL', UPSTREAM, 'probing')
  elseif tonumber(claimed_ms) <= upstream_field(OPENED) then
    -- A submit that was under way when the breaker opened tells nothing new.
    return
  end
  local cause = pressure
  if down > 0 and pressure == 'lost' then cause = upstream[CAUSE] or 'down' end
  if cause ~= upstream[CAUSE] then down = 0 end
  local first, longest = unpack(PAUSES[cause])
  local wait = math.min(longest, first * 2 ^ math.min(down, 5))
  upstream[DOWN], upstream[CAUSE] = down + 1, cause
  redis.call('HSET', UPSTREAM, 'down', down + 1, 'down_until_ms', string.format('%d', now + wait), 'cause', cause)
end

local function close_breaker()
  if upstream_field(DOWN) > 0 then
    upstream[DOWN], upstream[CAUSE] = 0, false
    redis.call('HDEL', UPSTREAM, 'down', 'down_until_ms', 'opened_ms', 'probing', 'cause')
  end
  if upstream_field(LOST) > 0 then
    upstream[LOST] = 0
    redis.call('HDEL', UPSTREAM, 'lost')
  end
end

local function note_lost(claimed_ms)
  local lost = upstream_field(LOST) + 1
  upstream[LOST] = lost
  redis.call('HSET', UPSTREAM, 'lost', lost)
  if upstream_field(DOWN) > 0 or lost >= RUN then open_breaker('lost', claimed_ms) end
end

-- The submit was taken after all, so it is no sign of an upstream in trouble. But it may have been taken before the
-- upstream began to refuse our key.
local function note_found()
  if upstream_field(DOWN) == 0 or upstream[CAUSE] ~= 'down' then close_breaker() end
end

-- Gives back what a claim took for a submit that was not sent: its place under the rate, and its turn as the probe.
local function give_back(claimed_ms, place_ms)
  redis.call('LREM', P .. 'rate:submit', 1, place_ms)
  if redis.call('HGET', UPSTREAM, 'probing') == claimed_ms then
    redis.call('HDEL', UPSTREAM, 'probing')
    redis.call('HSET', UPSTREAM, 'down_until_ms', now)
  end
end

local function raise_limit(count_open)
  local limit = upstream_field(LIMIT)
  if limit == 0 then return end
  -- In the first ten seconds after a refusal, the limit grows slowly, because the upstream would soon be full again.
  -- Later it grows by two for each acceptance, so that it can grow while no task ends.
  limit = math.max(limit, count_open())
  upstream[LIMIT] = limit + (ms_since(upstream_field(LOWERED)) < 10000 and 1 / limit or 2)
  if limit > 10000 and limit > 2 * count_open() then
    upstream[LIMIT] = 0
    redis.call('HDEL', UPSTREAM, 'limit')
  else
    redis.call('HSET', UPSTREAM, 'limit', string.format('%.4f', upstream[LIMIT]))
  end
end

local function set_limit(limit)
  upstream[LIMIT] = math.max(1, limit)
  redis.call('HSET', UPSTREAM, 'limit', string.format('%.4f', upstream[LIMIT]))
end

-- The refused submit was the one above the limit, or the only open one. So the limit stays, and submits are tried less
-- often.
local function ask_less_often(open)
  local full = upstream_field(FULL)
  upstream[FULL] = full + 1
  redis.call('HSET', UPSTREAM, 'full', full + 1)
  if open <= 0 then close('gate_ms', math.min(10000, 1000 * 2 ^ math.min(full, 4))) end
end

local function lower_limit(open)
  local limit = upstream_field(LIMIT)
  if ms_since(upstream_field(LOWERED)) < 1000 then
    -- Many refusals at one moment count as one. The upstream had room for the tasks that are open once all of them are
    -- in.
    if limit > math.max(1, open) then set_limit(open) end
    return
  end
  upstream[LOWERED] = now
  redis.call('HSET', UPSTREAM, 'lowered_ms', now)
  if limit > 0 and (limit == 1 or open >= math.floor(limit)) then return ask_less_often(open) end
  set_limit(0.8 * ((limit > 0 and limit < open) and limit or open))
end

-- How many submits of this call were refused: they have no task, but count as open until the call is over.
local refused = 0

-- `count_open` tells how many tasks are open upstream.
local function press(pressure, count_open)
  if pressure == 'none' then return end
  local word, number, place_ms = string.match(pressure, '^(%a+) ?(%d*) ?(%d*)$')
  if word == 'unsent' then return give_back(number, place_ms) end
  if word == 'throttled' then return close('polls_gate_ms', tonumber(number)) end
  if word == 'down' or word == 'away' or word == 'misaddressed' then return open_breaker(word, number) end
  if word == 'lost' then return note_lost(number) end
  if word == 'found' then return note_found() end
  close_breaker()
  if word == 'accepted' then
    raise_limit(count_open)
    if upstream_field(FULL) > 0 then
      upstream[FULL] = 0
      redis.call('HDEL', UPSTREAM, 'full')
    end
  end
  if word == 'saturated' then
    refused = refused + 1
    lower_limit(count_open() - refused)
    if tonumber(number) > 0 then close('gate_ms', tonumber(number)) end
  end
end

