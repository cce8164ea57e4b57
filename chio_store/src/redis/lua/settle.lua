-- Decides on a claim whose account is full, or that comes late. KEYS: epoch, accounts, the account's nonces.
-- ARGV: the id of the epoch, now, until, nonce, account, quota, before when a nonce has expired, prefix of nonces, 1 if the
-- claim has added its nonce, up to when a call may have been told of the epoch before. Returns 0 spent, 1 replayed, 2 too late, 3 quota exceeded, 4 another epoch.
local now, quota = tonumber(ARGV[2]), tonumber(ARGV[6])
local epoch = redis.call('HMGET', KEYS[1], 'id', 'since', 'nonces')
if epoch[1] ~= ARGV[1] or not epoch[2] or now <= tonumber(ARGV[10]) then
  return 4
end
-- Nobody was told of it yet: of two that claim it now, one is told that it is spent, or none.
if ARGV[9] == '1' then
  redis.call('ZREM', KEYS[3], ARGV[4])
  if redis.call('EXISTS', KEYS[3]) == 0 then
    redis.call('ZREM', KEYS[2], ARGV[5])
  end
end
if redis.call('ZSCORE', KEYS[3], ARGV[4]) then
  return 1
end
local forgotten = 0
if redis.call('ZCARD', KEYS[3]) >= quota then
  local _, last = drop(KEYS[2], ARGV[8], ARGV[5], ARGV[7], 1000)
  forgotten = last
end
-- Whoever comes so late that its nonce could be a forgotten one cannot be told from a replay.
local complete = mark(KEYS[1], 'nonces', forgotten > 0 and forgotten + 1 or 0)
if now < complete then
  return 2
end
if redis.call('ZCARD', KEYS[3]) >= quota then
  return 3
end
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[4])
redis.call('ZADD', KEYS[2], 'NX', ARGV[3], ARGV[5])
return 0
