-- Drops up to `most` of the oldest members of an account's sorted set whose score is below `bound`, and enters the account
-- under its new oldest, or strikes it off. Returns how many, and after which second something may have been forgotten.
local function drop(index, prefix, account, bound, most, values)
  local key = prefix .. account
  local old = redis.call('ZRANGEBYSCORE', key, '-inf', '(' .. bound, 'WITHSCORES', 'LIMIT', 0, most)
  local members, last = {}, 0
  for i = 1, #old, 2 do
    members[#members + 1] = old[i]
    last = tonumber(old[i + 1])
  end
  if #members > 0 then
    redis.call('ZREM', key, unpack(members))
    if values then
      redis.call('HDEL', values, unpack(members))
    end
  end
  local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if head[1] then
    redis.call('ZADD', index, head[2], account)
  else
    redis.call('ZREM', index, account)
  end
  return #members, last
end

-- Drops at most `most` from the accounts whose turn it is. Returns also how many accounts that were.
local function sweep(index, prefix, bound, accounts, most, values)
  local dropped, forgotten = 0, 0
  local due = redis.call('ZRANGEBYSCORE', index, '-inf', '(' .. bound, 'LIMIT', 0, accounts)
  for _, account in ipairs(due) do
    if dropped < most then
      local count, last = drop(index, prefix, account, bound, most - dropped, values)
      dropped = dropped + count
      forgotten = math.max(forgotten, last)
    end
  end
  return dropped, forgotten, #due
end

-- Remembers that before this second something may have been forgotten. Returns the latest such second.
local function mark(epoch, name, second)
  local before = tonumber(redis.call('HGET', epoch, name) or '0')
  if second > before then
    redis.call('HSET', epoch, name, string.format('%.0f', second))
    return second
  end
  return before
end
