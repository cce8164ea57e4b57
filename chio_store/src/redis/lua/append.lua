-- Appends a receipt if the chain still ends where its writer saw it end. KEYS: head, receipts, open.
-- ARGV: sequence and digest of that end, or nothing; sequence, digest and text of the receipt; the key of its kernel; 1 if it
-- is an allow; the sequences that it closes. Returns 1, or 0 where the chain ends elsewhere.
local head = redis.call('HMGET', KEYS[1], 'sequence', 'digest')
if (head[1] or '') ~= ARGV[1] or (head[2] or '') ~= ARGV[2] then
  return 0
end
redis.call('XADD', KEYS[2], ARGV[3] .. '-0', 'r', ARGV[5])
redis.call('HSET', KEYS[1], 'sequence', ARGV[3], 'digest', ARGV[4], 'key', ARGV[6])
if ARGV[7] == '1' then
  redis.call('ZADD', KEYS[3], ARGV[3], ARGV[3])
end
for i = 8, #ARGV do
  redis.call('ZREM', KEYS[3], ARGV[i])
end
return 1
