-- Sets a standing. KEYS: standings, suspensions, failures, failed last. ARGV: who, until (-1 for a ban, 0 for none), its
-- name or nothing, whether failed signatures are forgiven.
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
else
  local name = ARGV[3]
  if name == '' then
    name = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^%-?%d+ (.*)$') or ''
  end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. name)
  if ARGV[2] == '-1' then
    redis.call('ZREM', KEYS[2], ARGV[1])
  else
    redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
  end
end
if ARGV[2] == '0' or ARGV[4] == '1' then
  redis.call('HDEL', KEYS[3], ARGV[1])
  redis.call('ZREM', KEYS[4], ARGV[1])
end
return 0
