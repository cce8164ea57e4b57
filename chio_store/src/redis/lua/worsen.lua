-- Makes a standing worse, or leaves it. KEYS: standings, suspensions. ARGV: who, until (-1 for a ban), now, most, before
-- when a suspension has ended. Returns 0, or 1 where there is no room.
local value = redis.call('HGET', KEYS[1], ARGV[1])
local before, name = 0, ''
if value then
  before, name = string.match(value, '^(%-?%d+) (.*)$')
  before = tonumber(before)
elseif redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
  local ended = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[5], 'LIMIT', 0, 1000)
  if #ended > 0 then
    redis.call('ZREM', KEYS[2], unpack(ended))
    redis.call('HDEL', KEYS[1], unpack(ended))
  end
  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
    return 1
  end
end
local after = tonumber(ARGV[2])
if before == -1 or (after ~= -1 and after <= before) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. name)
if after == -1 then
  redis.call('ZREM', KEYS[2], ARGV[1])
else
  redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
end
return 0
