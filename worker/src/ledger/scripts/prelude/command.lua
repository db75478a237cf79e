-- In front of the scripts that obey a command.

-- Deletes the entry that brought the command, and says whether it was there. If it is gone, the command was obeyed
-- before. '' means that no entry brought the command.
local function take_entry(entry)
  return entry == '' or redis.call('XDEL', P .. 'jobs', entry) == 1
end

