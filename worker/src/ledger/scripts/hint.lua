-- Takes hooks' hints: the next look at each job is now, before all others that are due: where the budget of polls is
-- short, this one surely finds something. A hint never decides anything.
--
-- PRELUDE  queue, job
-- KEYS[1]  the queue's prefix, mjq:{queue}:
-- ARGV, for each hint:
--   job id
--   the task id that the hook told, or ''
--   '1' if the task goes on: then only a job whose task is being looked for is looked at
--   when the job came that the hint is about, Unix ms, or '' if that is not known
-- Returns for each hint
--   1 the look was moved to now, 2 the same for a job that its deadline has ended, 0 there is nothing to look at,
--   3 a step is under way that may see less than the hook tells: ask again when it has come to its end

-- Whether the id now belongs to a later job. The job's score tells when it came, below its priority (record.rs, SCORE_RANK).
local function is_of_another_job(id, enqueued_ms)
  local score = enqueued_ms ~= '' and submit_score(id)
  return score and score % 1e13 ~= tonumber(enqueued_ms)
end

local function hint(id, task, goes_on, enqueued_ms)
  local fence, phase = read_job(id)
  if not fence or is_of_another_job(id, enqueued_ms) then return 0 end
  -- Kept also while the submit is under way, since its answer may get lost after this hook has come; and after a
  -- refusal, since a task that is there all the same must not be asked for again. With the end goes a mark, by which
  -- the look that finds it knows that it was told.
  if phase == 'unknown' or phase == 'submitting' or phase == 'queued' then
    if task ~= '' then note_more(id, 'hint', (goes_on and '' or '+') .. task) end
  elseif phase == 'polling' and not goes_on then
    note_more(id, 'hint', '+')
  end
  if goes_on and phase ~= 'unknown' then return 0 end
  if phase == 'failed' then return 2 * redis.call('ZADD', P .. 'late', 'XX', 'LT', 'CH', now, id) end
  if look_first(id) then return 1 end
  -- A claim shows in its lease, which is named after its fence.
  if redis.call('ZSCORE', P .. 'leases', fence .. ':' .. id) then return 3 end
  return 0
end

local answers = {}
for at = 1, #ARGV, 4 do
  answers[#answers + 1] = hint(ARGV[at], ARGV[at + 1], ARGV[at + 2] == '1', ARGV[at + 3])
end
return answers
