-- In front of the scripts that publish events.

-- Adds an event to the result stream; its fields are described in producer-lib/CONTRACT.md. Returns the id of its entry.
local function publish(kind, job, kind_of_job, state, task, status, code, image_url, data)
  return redis.call('XADD', P .. 'events', '*', 'v', '1', 'type', kind, 'job', job, 'kind', kind_of_job,
    'state', state, 'task', task, 'status', status, 'code', code, 'image_url', image_url, 'data', data)
end

