-- Drops what has expired, a bounded number. KEYS: epoch, accounts with nonces, usage, accounts with usage, standings,
-- suspensions. ARGV: before when it has, prefix of nonces, prefix of accounts with usage. Returns how many there were.
local function forget(name, dropped, forgotten, due)
  if dropped > 0 and forgotten > tonumber(redis.call('HGET', KEYS[1], name) or '0') then
    redis.call('HSET', KEYS[1], name, string.format('%.0f', forgotten))
  end
  return dropped + due
end
local dropped, last, due = sweep(KEYS[2], ARGV[2], ARGV[1], 20, 50)
local all = forget('nonces', dropped, last + 1, due)
dropped, last, due = sweep(KEYS[4], ARGV[3], ARGV[1], 20, 50, KEYS[3])
all = all + forget('usage', dropped, last, due)
local ended = redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', '(' .. ARGV[1], 'LIMIT', 0, 500)
if #ended > 0 then
  redis.call('ZREM', KEYS[6], unpack(ended))
  redis.call('HDEL', KEYS[5], unpack(ended))
end
return all + #ended
