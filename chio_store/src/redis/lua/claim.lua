-- Spends a nonce. KEYS: epoch, accounts, the account's nonces.
-- ARGV: the id of the epoch, now, until, nonce, account, quota, before when it has expired, prefix of nonces.
-- Returns 0 spent, 1 replayed, 2 full, 3 quota exceeded, 4 another epoch, 5 before the epoch.
local now = tonumber(ARGV[2])
local epoch = redis.call('HMGET', KEYS[1], 'id', 'since', 'nonces')
if epoch[1] ~= ARGV[1] or not epoch[2] then
  return 4
end
if now <= tonumber(epoch[2]) then
  return 5
end
-- Twice as many as a call adds: it drains faster than it fills.
local _, forgotten = sweep(KEYS[2], ARGV[8], ARGV[7], 2, 4)
local held = redis.call('ZCARD', KEYS[3])
local full = held >= tonumber(ARGV[6])
if full and redis.call('ZSCORE', KEYS[3], ARGV[4]) then
  return 1
end
if full then
  local count, last = drop(KEYS[2], ARGV[8], ARGV[5], ARGV[7], 1000)
  held = held - count
  full = held >= tonumber(ARGV[6])
  forgotten = math.max(forgotten, last)
end
-- Whoever comes so late that its nonce could be a forgotten one cannot be told from a replay.
local complete = tonumber(epoch[3] or '0')
if forgotten >= complete and forgotten > 0 then
  complete = forgotten + 1
  redis.call('HSET', KEYS[1], 'nonces', string.format('%.0f', complete))
end
if now < complete then
  return 2
end
if full then
  return 3
end
if redis.call('ZADD', KEYS[3], 'NX', ARGV[3], ARGV[4]) == 0 then
  return 1
end
if held == 0 then
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[5])
end
return 0
