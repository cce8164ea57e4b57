-- Takes a record away. KEYS: epoch, records, their ends. ARGV: the id of the epoch, key, now, prefix of the sets of owners, 1 if
-- the records are good in their epoch alone. Returns it, 0 where there is none, or 4 in another epoch.
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then
  return 4
end
local value = redis.call('HGET', KEYS[2], ARGV[2])
if not value then
  return 0
end
local epoch, till, owner = parts(value)
-- It may not have ended for a kernel whose clock is behind.
if till <= tonumber(ARGV[3]) or (ARGV[5] == '1' and epoch ~= ARGV[1]) then
  return 0
end
strike(KEYS[2], KEYS[3], ARGV[4], ARGV[2], owner)
return value
