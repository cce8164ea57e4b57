-- Says since when this Redis remembers. Where it does not know, or was started since, it begins anew.
-- KEYS: epoch. ARGV: a new id, since when that would be, the run of the server.
local epoch = redis.call('HMGET', KEYS[1], 'id', 'since', 'run')
if epoch[1] and epoch[2] and epoch[3] == ARGV[3] then
  return {epoch[1], epoch[2]}
end
local since = ARGV[2]
if epoch[2] and tonumber(epoch[2]) > tonumber(since) then
  since = epoch[2]
end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'since', since, 'run', ARGV[3])
return {ARGV[1], since}
