-- Takes a hook's hint: the job's next look is now. A hint never decides anything.
--
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV[1]  job id
-- ARGV[2]  the task id that the hook told, or ''
-- ARGV[3]  '1' if the task goes on: then only a job whose task is being looked for is looked at
-- Returns 1 the look was moved to now, 2 the same for a job that its deadline has ended, 0 there is nothing to look at

local P = KEYS[1]
local key = P .. 'job:' .. ARGV[1]
local phase = redis.call('HGET', key, 'p')
if not phase then return 0 end
-- Kept also while the submit is under way: its answer may get lost after this hook has come.
if ARGV[2] ~= '' and (phase == 'unknown' or phase == 'submitting') then redis.call('HSET', key, 'hint', ARGV[2], 'x', 1) end
if ARGV[3] == '1' and phase ~= 'unknown' then return 0 end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if phase == 'failed' then return 2 * redis.call('ZADD', P .. 'late', 'XX', 'LT', 'CH', now, ARGV[1]) end
return redis.call('ZADD', P .. 'due:poll', 'XX', 'LT', 'CH', now, ARGV[1])
