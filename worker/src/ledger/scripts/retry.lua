-- Retries an ended job as a new attempt, with its history.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  job id                    ARGV[2]  the fence of the record that was read
-- ARGV[3]  record                    ARGV[4]  deadline, Unix ms
-- Returns 1 queued, 2 it has changed since it was read, 0 not known

local P = KEYS[1]
local id = ARGV[1]
local key = P .. 'job:' .. id
local fence, phase, identity = unpack(redis.call('HMGET', key, 'f', 'p', 'i'))
if not fence then return 0 end
if fence ~= ARGV[2] or (phase ~= 'failed' and phase ~= 'cancelled') then return 2 end
redis.call('HSET', key, 'f', fence + 1, 'p', 'queued', 'r', ARGV[3])
redis.call('HDEL', key, 'c', 'hint')
redis.call('ZREM', P .. 'ended', id)
redis.call('ZREM', P .. 'failed', id)
redis.call('ZREM', P .. 'late', id)
redis.call('ZADD', P .. 'due:submit', string.match(identity, '^%S+ (%S+)'), id)
redis.call('ZADD', P .. 'deadlines', ARGV[4], id)
return 1
