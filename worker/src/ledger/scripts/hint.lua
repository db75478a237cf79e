-- Takes hints from hooks: makes the next poll of each job's task due now, before all other due polls, because it will
-- find something even if the budget of polls is short. A hint never decides anything.
--
-- PRELUDE  queue, job
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV, for each hint:
--   job id
--   the task id that the hook told, or ''
--   '1' if the task goes on: then the job is polled only if its task is being looked for
--   when the job of the hint was enqueued, Unix ms, or '' if that is not known
-- Returns for each hint
--   1 the poll was moved to now, 2 the same for the revisit of a failed job, 0 there is nothing to poll,
--   3 a step is under way that may see less than the hook tells: send the hint again when that step has ended

-- Whether the id now belongs to a later job. A job's score is its priority plus the time at which it was enqueued
-- (record.rs, SCORE_RANK).
local function is_of_another_job(id, enqueued_ms)
  local score = enqueued_ms ~= '' and submit_score(id)
  return score and score % 1e13 ~= tonumber(enqueued_ms)
end

local function hint(id, task, goes_on, enqueued_ms)
  local fence, phase = read_job(id)
  if not fence or is_of_another_job(id, enqueued_ms) then return 0 end
  -- The hint is also kept while the submit is under way, since its answer may be lost after this hook came; and after a
  -- refusal, since the task may exist all the same, and must not be made twice. '+' marks that the hook told the end,
  -- so that the poll which finds the end knows it.
  if phase == 'unknown' or phase == 'submitting' or phase == 'queued' then
    if task ~= '' then note_more(id, 'hint', (goes_on and '' or '+') .. task) end
  elseif phase == 'polling' and not goes_on then
    note_more(id, 'hint', '+')
  end
  if goes_on and phase ~= 'unknown' then return 0 end
  if phase == 'failed' then return 2 * redis.call('ZADD', P .. 'late', 'XX', 'LT', 'CH', now, id) end
  if poll_first(id) then return 1 end
  -- The job is claimed if there is a lease of its current fence.
  if redis.call('ZSCORE', P .. 'leases', fence .. ':' .. id) then return 3 end
  return 0
end

local answers = {}
for at = 1, #ARGV, 4 do
  answers[#answers + 1] = hint(ARGV[at], ARGV[at + 1], ARGV[at + 2] == '1', ARGV[at + 3])
end
return answers
