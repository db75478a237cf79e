-- In front of the scripts that have to know whether Redis may have lost its last writes.
--
-- A server that is not the one that served before (after a restart or a failover) may lack what was
-- acknowledged last, submits among it. So may the same one, when a replica's data have replaced its own: then it counts
-- fewer claims than some pod has heard of. In both cases nothing is claimed until every pod has said what it holds
-- (see reassert.lua), or until GATE_MS have passed: a pod that lives has come back by then. Its last call to a host that
-- is gone takes 5 s to fail, to connect to that host another 2 s (link.rs), then it waits for half a second. A server
-- that has just started was the one that died: connections to it broke at once, and RESTART_GATE_MS are enough.

local GATE_MS, RESTART_GATE_MS, JUST_STARTED_S = 8000, 4000, 10

-- Until when nothing is claimed, Unix ms, as the upstream's hash says.
local function noted_gate(gate_ms) return tonumber(gate_ms or 0) end

-- When this call has closed the gate, if it has.
local closed_ms

-- The name of the gate: when it was closed, Unix ms; 0 while it is open. Whatever a pod has told one server is not known
-- to the next, whose gate has another name. `gated_ms` is what the upstream's hash said.
local function gate_name(gate_ms, gated_ms) return gate_ms > now and (closed_ms or tonumber(gated_ms or 0)) or 0 end

local function close_server_gate(while_ms, ...)
  local gate_ms = now + while_ms
  closed_ms = now
  write_although_full()
  redis.call('DEL', P .. 'reported')
  redis.call('HDEL', P .. 'upstream', 'pods')
  redis.call('HSET', P .. 'upstream', 'server_gate_ms', string.format('%d', gate_ms), 'gated_ms', now, ...)
  return gate_ms
end

-- The same after a look at which server this is. `known` and `gate_ms` are what the upstream's hash says.
local function server_gate(known, gate_ms)
  local info = redis.pcall('INFO', 'server')
  local server = type(info) == 'string' and string.match(info, 'run_id:(%w+)')
  if not server or server == known then return noted_gate(gate_ms) end
  if known then
    local has_just_started = tonumber(string.match(info, 'uptime_in_seconds:(%d+)') or 0) < JUST_STARTED_S
    return close_server_gate(has_just_started and RESTART_GATE_MS or GATE_MS, 'server', server)
  end
  -- The first server of a queue has lost nothing of it.
  write_although_full()
  redis.call('HSET', P .. 'upstream', 'server', server)
  return noted_gate(gate_ms)
end

-- The same after a look at how many claims a pod has heard of. `counted` is how many this server has counted, and it last
-- closed the gate at `gated_ms`. The pods find one loss one after the other: not each of them closes the gate anew.
local function claims_gate(counted, heard, gate_ms, gated_ms)
  if heard <= counted then return gate_ms end
  if math.abs(now - gated_ms) < 30000 then
    write_although_full()
    redis.call('HSET', P .. 'upstream', 'claims', heard)
    return gate_ms
  end
  redis.call('HINCRBY', P .. 'totals', 'suspected_rollback', 1)
  return close_server_gate(GATE_MS, 'claims', heard)
end

