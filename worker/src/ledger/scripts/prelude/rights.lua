-- In front of the scripts that move jobs: stops a script before its first write if the user lacks the right to one of
-- its commands.
--
-- Redis checks the rights of each command as it comes, and does not undo the earlier ones. That would leave half of a
-- transition, which the next try would take for the whole. (Before 7.0, Redis cannot be asked for rights.)

local function denied()
  local may = redis.acl_check_cmd
  if not may then return nil end
  local key = P .. 'job:'
  return not may('MSET', key, '') and 'mset' or not may('MSETNX', key, '') and 'msetnx'
    or not may('SET', key, '') and 'set' or not may('DEL', key) and 'del'
    or not may('PEXPIRE', key, '1') and 'pexpire'
    or not may('ZADD', key, '0', '') and 'zadd' or not may('ZREM', key, '') and 'zrem'
    or not may('ZREMRANGEBYRANK', key, '0', '0') and 'zremrangebyrank'
    or not may('XADD', key, '*', '', '') and 'xadd' or not may('XDEL', key, '1') and 'xdel'
    or not may('XTRIM', key, 'MINID', '1') and 'xtrim'
    or not may('HSET', key, '', '') and 'hset' or not may('HDEL', key, '') and 'hdel'
    or not may('HINCRBY', key, '', '1') and 'hincrby'
    or not may('SADD', key, '') and 'sadd' or not may('SREM', key, '') and 'srem'
    or not may('SPOP', key) and 'spop'
    or not may('LPUSH', key, '') and 'lpush' or not may('LTRIM', key, '0', '0') and 'ltrim'
    or not may('LREM', key, '1', '') and 'lrem' or nil
end
local lacking = denied()
if lacking then
  return redis.error_reply("NOPERM this user has no permissions to run the '" .. lacking .. "' command")
end

