-- Drops what has expired, a bounded number. KEYS: epoch, accounts with nonces, usage, accounts with usage, standings,
-- suspensions. ARGV: before when it has, prefix of nonces, prefix of accounts with usage. Returns how many there were.
local dropped, last, due = sweep(KEYS[2], ARGV[2], ARGV[1], 200, 1000)
if dropped > 0 then
  mark(KEYS[1], 'nonces', last + 1)
end
local all = dropped + due
dropped, last, due = sweep(KEYS[4], ARGV[3], ARGV[1], 200, 1000, KEYS[3])
if dropped > 0 then
  mark(KEYS[1], 'usage', last)
end
all = all + dropped + due
local ended = redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', '(' .. ARGV[1], 'LIMIT', 0, 500)
if #ended > 0 then
  redis.call('ZREM', KEYS[6], unpack(ended))
  redis.call('HDEL', KEYS[5], unpack(ended))
end
return all + #ended
