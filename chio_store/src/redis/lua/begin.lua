-- Says since when this Redis remembers, and the longest life of a proof. Where it does not know, or was started since, or where
-- proofs live longer than what was spent before was kept for, it begins anew.
-- KEYS: epoch. ARGV: a new id, since when that would be, the run of the server, the life of this kernel's proofs in seconds.
local epoch = redis.call('HMGET', KEYS[1], 'id', 'since', 'run', 'life')
local life = epoch[4] or '0'
if epoch[1] and epoch[2] and epoch[3] == ARGV[3] and tonumber(life) >= tonumber(ARGV[4]) then
  return {epoch[1], epoch[2], life}
end
local since = ARGV[2]
if epoch[2] and tonumber(epoch[2]) > tonumber(since) then
  since = epoch[2]
end
if tonumber(life) < tonumber(ARGV[4]) then
  life = ARGV[4]
end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'since', since, 'run', ARGV[3], 'life', life)
return {ARGV[1], since, life}
