-- Keeps a record, in the place of nothing or of what is expected there. KEYS: epoch, records, their ends. ARGV: the id of the
-- epoch, key, owner, until or `inf`, value, 1 if another is replaced, which, now, room of the table and of the owner, prefix of
-- the sets of owners, before when one has ended, 1 if the records are good in their epoch alone.
-- Returns 0 kept, 1 another is there, 2 full, 3 the owner's room is full, 4 another epoch.
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then
  return 4
end
local value, owner, said = redis.call('HGET', KEYS[2], ARGV[2]), nil, nil
if value then
  local epoch, till, its, at = parts(value)
  owner = its
  if till > tonumber(ARGV[8]) and (ARGV[13] == '0' or epoch == ARGV[1]) then
    said = string.sub(value, at)
  end
end
if (ARGV[6] == '1') ~= (said ~= nil) or (said and said ~= ARGV[7]) then
  return 1
end
local live, its_own = '(' .. ARGV[8], ARGV[11] .. ARGV[3]
if not said and redis.call('ZCOUNT', KEYS[3], live, '+inf') >= tonumber(ARGV[9]) then
  return 2
end
if not (said and owner == ARGV[3]) and redis.call('ZCOUNT', its_own, live, '+inf') >= tonumber(ARGV[10]) then
  return 3
end
if owner and owner ~= ARGV[3] then
  redis.call('ZREM', ARGV[11] .. owner, ARGV[2])
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[1] .. ' ' .. ARGV[4] .. ' ' .. ARGV[3] .. ' ' .. ARGV[5])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[2])
redis.call('ZADD', its_own, ARGV[4], ARGV[2])
expire(KEYS[2], KEYS[3], ARGV[11], ARGV[12], 4)
return 0
