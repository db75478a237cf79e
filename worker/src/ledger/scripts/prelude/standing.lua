-- In front of the scripts that write down what became of jobs: `held` and `unknown` list the open jobs that wait for a
-- person, or for an answer that was lost, by the time since when. They are few.

-- The phases of the jobs that this call has written; '' of those that have ended.
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

