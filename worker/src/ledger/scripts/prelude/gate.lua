-- In front of the scripts that read the times until which something waits, Unix ms.
--
-- The clock may go back (a failover to a host whose clock is behind). Times noted before that are far ahead, and are
-- ignored.

-- The longest time, ms, that each gate in the hash `upstream` can be closed for.
local LONGEST = { gate_ms = 600000, polls_gate_ms = 120000, down_until_ms = 30000 }

-- The time until which something waits; 0 if it has passed, or is more than `longest_ms` ahead.
local function until_ms(text, longest_ms)
  local at = tonumber(text or 0) or 0
  return at > now and at <= now + longest_ms and at or 0
end

-- The time until which a gate of the upstream is closed; 0 if it is open.
local function closed_until(gate, text) return until_ms(text, LONGEST[gate]) end

-- The distance of a time from now, ms.
local function ms_since(at) return math.abs(now - (tonumber(at or 0) or 0)) end

