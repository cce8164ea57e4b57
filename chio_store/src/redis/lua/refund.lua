-- Gives calls back, never more than were spent. KEYS: usage. ARGV: grants.
for _, grant in ipairs(ARGV) do
  local value = redis.call('HGET', KEYS[1], grant)
  if value then
    local used, rest = string.match(value, '^(%d+)( .*)$')
    redis.call('HSET', KEYS[1], grant, string.format('%.0f', math.max(tonumber(used) - 1, 0)) .. rest)
  end
end
return 0
