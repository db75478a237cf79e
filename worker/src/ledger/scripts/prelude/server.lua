-- In front of the scripts that have to know whether Redis may have lost its last writes.
--
-- A server that is not the one that served before (after a restart or a failover) may lack what was
-- acknowledged last, submits among it. So nothing is claimed until every pod has said what it holds
-- (see reassert.lua), or until GATE_MS have passed: a pod that lives has come back by then. It may have begun to connect
-- to a host that is gone, which takes 2 s to fail (link.rs), then waits for half a second, and has thousands to tell.

local GATE_MS = 4000

-- Until when nothing is claimed, Unix ms, as the upstream's hash says.
local function noted_gate(gate_ms) return tonumber(gate_ms or 0) end

-- The same after a look at which server this is. `known` and `gate_ms` are what the upstream's hash says.
local function server_gate(known, gate_ms)
  local info = redis.pcall('INFO', 'server')
  local server = type(info) == 'string' and string.match(info, 'run_id:(%w+)')
  if not server or server == known then return noted_gate(gate_ms) end
  -- The first server of a queue has lost nothing of it.
  gate_ms = known and now + GATE_MS or 0
  write_although_full()
  redis.call('DEL', P .. 'reported')
  redis.call('HSET', P .. 'upstream', 'server', server, 'server_gate_ms', string.format('%d', gate_ms))
  return gate_ms
end

