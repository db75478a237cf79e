-- In front of the scripts that read the times until which something waits, Unix ms.
--
-- The clock may go back (a failover to a host that is behind). Times from before are then far ahead, and tell nothing.

-- The longest that a look at the upstream's hash may find each of its gates closed, ms.
local LONGEST = { gate_ms = 600000, looks_gate_ms = 120000, down_until_ms = 30000 }

-- Until when something waits; 0 if that is over, or further ahead than there ever is one.
local function until_ms(text, longest_ms)
  local at = tonumber(text or 0) or 0
  return at > now and at <= now + longest_ms and at or 0
end

-- Until when one of the upstream's gates is closed; 0 if it is open.
local function closed_until(gate, text) return until_ms(text, LONGEST[gate]) end

-- How long ago something was.
local function ms_since(at) return math.abs(now - (tonumber(at or 0) or 0)) end

