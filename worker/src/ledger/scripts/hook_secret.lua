-- The secret that all pods of the queue sign hook addresses with.
--
-- PRELUDE  queue
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  a fresh secret, used if there is none yet
-- Returns the secret

write_although_full()
redis.call('SET', P .. 'hook_secret', ARGV[1], 'NX')
return redis.call('GET', P .. 'hook_secret')
