-- Counts a failed signature, as `one_more_failure` does. KEYS: failures, failed last. ARGV: who, now, forgive, most.
-- Returns how many there are.
local now, forgive = tonumber(ARGV[2]), tonumber(ARGV[3])
local value = redis.call('HGET', KEYS[1], ARGV[1])
local count, since = 0, 0
if value then
  count, since = string.match(value, '^(%d+) (%d+)$')
  count, since = tonumber(count), tonumber(since)
elseif redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
  local oldest = redis.call('ZRANGE', KEYS[2], 0, 0)
  if oldest[1] then
    redis.call('ZREM', KEYS[2], oldest[1])
    redis.call('HDEL', KEYS[1], oldest[1])
  end
end
local forgiven = 0
if forgive > 0 and now > since then
  forgiven = math.floor((now - since) / forgive)
end
if forgiven >= count then
  count, since = 1, now
else
  count, since = count - forgiven + 1, since + forgiven * forgive
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %.0f', count, since))
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return count
