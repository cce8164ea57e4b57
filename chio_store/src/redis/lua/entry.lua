-- A record: the epoch in which it was kept, the second at which it ends or `inf`, its owner, and behind that what it says.
local function parts(value)
  local epoch, till, owner, at = string.match(value, '^(%x+) (%w+) (%x+) ()')
  return epoch, till == 'inf' and math.huge or tonumber(till), owner, at
end

local function strike(records, ends, prefix, key, owner)
  redis.call('HDEL', records, key)
  redis.call('ZREM', ends, key)
  redis.call('ZREM', prefix .. owner, key)
end

-- Drops up to `most` records that ended before `bound`. Returns how many.
local function expire(records, ends, prefix, bound, most)
  local old = redis.call('ZRANGEBYSCORE', ends, '-inf', '(' .. bound, 'LIMIT', 0, most)
  for _, key in ipairs(old) do
    local _, _, owner = parts(redis.call('HGET', records, key))
    strike(records, ends, prefix, key, owner)
  end
  return #old
end
