-- In front of the scripts that keep a rate: any window of it holds at most `n` requests, over all pods.
--
-- A rate's list has the times of its latest `n` grants, the latest first.

-- How many of `wanted` requests fit now, and ms until one more does. `n` is 0 where there is no limit.
local function room(rate, wanted, n, window)
  if n == 0 then return wanted, 0 end
  local fits = 0
  while fits < wanted and fits < n do
    local grant = tonumber(redis.call('LINDEX', rate, n - 1 - fits) or 0)
    -- A grant from far ahead was made before the clock went back (a failover to a host whose clock is behind). It is
    -- ignored.
    if math.abs(now - grant) < window then return fits, grant + window - now end
    fits = fits + 1
  end
  return fits, window
end

-- Notes that `used` requests were granted.
local function spend(rate, used, n)
  if n == 0 or used == 0 then return end
  for _ = 1, used do redis.call('LPUSH', rate, now) end
  redis.call('LTRIM', rate, 0, n - 1)
end

