-- In front of the scripts that obey a command.

-- Deletes the entry that brought the command, and says whether it was there: a command whose entry is gone was obeyed
-- before. '' is a command that no entry brought.
local function take_entry(entry)
  return entry == '' or redis.call('XDEL', P .. 'jobs', entry) == 1
end

