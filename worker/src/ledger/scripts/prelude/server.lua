-- In front of the scripts that have to know whether Redis may have lost its last writes.
--
-- After a restart or a failover, another server answers. It may lack the last acknowledged writes, submits among them.
-- The same server may lack them too, when a replica's data have replaced its own; then it counts fewer claims than some
-- pod has heard of. In both cases nothing is claimed until every pod has said what it holds (see reassert.lua), or
-- until GATE_MS have passed. A pod that lives has come back by then: its last call to a host that is gone takes 5 s to
-- fail, a new connection to that host another 2 s (link.rs), and then the pod waits for half a second. If the server
-- has just started, RESTART_GATE_MS are enough: it was the one that died, so connections to it broke at once.

local GATE_MS, RESTART_GATE_MS, JUST_STARTED_S = 8000, 4000, 10

-- The time until which nothing is claimed, Unix ms, as noted in the hash `upstream`.
local function noted_gate(gate_ms) return tonumber(gate_ms or 0) end

-- When this call closed the gate; nil if it did not.
local closed_ms

-- The name of the gate: the time at which it was closed, Unix ms; 0 while it is open. A server does not know what pods
-- told the server before it, so each gate has a name of its own. `gated_ms` is the time noted in the hash `upstream`.
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

-- The same, after asking which server this is. `known` and `gate_ms` are what the hash `upstream` says.
local function server_gate(known, gate_ms)
  local info = redis.pcall('INFO', 'server')
  local server = type(info) == 'string' and string.match(info, 'run_id:(%w+)')
  if not server or server == known then return noted_gate(gate_ms) end
  if known then
    local has_just_started = tonumber(string.match(info, 'uptime_in_seconds:(%d+)') or 0) < JUST_STARTED_S
    return close_server_gate(has_just_started and RESTART_GATE_MS or GATE_MS, 'server', server)
  end
  -- A queue without a known server is new, so nothing was lost.
  write_although_full()
  redis.call('HSET', P .. 'upstream', 'server', server)
  return noted_gate(gate_ms)
end

-- The same, after comparing how many claims a pod has heard of with how many this server has `counted`. The server last
-- closed its gate at `gated_ms`. The pods notice one loss one after the other, and only the first of them may close the
-- gate.
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

