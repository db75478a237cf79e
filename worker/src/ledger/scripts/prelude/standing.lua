-- In front of the scripts that write what became of jobs. `held` lists the open jobs that wait for input, `unknown`
-- those whose submit's answer was lost, both by the time since when. Both lists are short.

-- By job, the phase that this call has written; '' for jobs that have ended.
local phases = {}

local function phase_of(text) return string.match(text, '^%d+ (%a+)') end

local function list_standing()
  for _, phase in ipairs({ 'held', 'unknown' }) do
    local stay, left = {}, {}
    for id, own in pairs(phases) do
      if own == phase then
        local n = #stay
        stay[n + 1] = string.format('%d', now)
        stay[n + 2] = id
      else
        left[#left + 1] = id
      end
    end
    if #left > 0 and redis.call('EXISTS', P .. phase) == 1 then redis.call('ZREM', P .. phase, unpack(left)) end
    if #stay > 0 then redis.call('ZADD', P .. phase, 'NX', unpack(stay)) end
  end
end

