-- Spends one call of one alternative at every place, or nothing.
-- KEYS: usage, accounts, epoch. ARGV: now, before when a count has expired, prefix of accounts, most, most of an account,
-- places; then of each place how many alternatives, and of each of these grant, account, limit, until.
-- Returns {0, which was taken at each place, from 1}, {1, place, from 0}, or {2}.
local places, at = tonumber(ARGV[6]), 7
local chosen, taken, calls = {}, {0}, {}
local function count(grant)
  local value = redis.call('HGET', KEYS[1], grant)
  if not value then
    return nil
  end
  local used, till, account = string.match(value, '^(%d+) (%d+) (%x+)$')
  return {tonumber(used), tonumber(till), account}
end
for place = 1, places do
  local alternatives, found = tonumber(ARGV[at]), false
  at = at + 1
  for i = 1, alternatives do
    local one = {ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])}
    at = at + 4
    if not found then
      local used = count(one[1])
      if (used and used[1] or 0) < one[3] then
        found = true
        chosen[#chosen + 1] = one
        taken[#taken + 1] = i
      end
    end
  end
  if not found then
    return {1, place - 1}
  end
end
local new = 0
for _, one in ipairs(chosen) do
  if redis.call('HEXISTS', KEYS[1], one[1]) == 0 then
    new = new + 1
  end
end
if new > 0 then
  local account = chosen[1][2]
  local _, forgotten = sweep(KEYS[2], ARGV[3], ARGV[2], 2, 8, KEYS[1])
  local function full()
    return redis.call('HLEN', KEYS[1]) + new > tonumber(ARGV[4])
      or redis.call('ZCARD', ARGV[3] .. account) + new > tonumber(ARGV[5])
  end
  local is_full = full()
  if is_full then
    local _, last = drop(KEYS[2], ARGV[3], account, ARGV[2], 1000, KEYS[1])
    local _, more = sweep(KEYS[2], ARGV[3], ARGV[2], 100, 1000, KEYS[1])
    forgotten = math.max(forgotten, last, more)
    is_full = full()
  end
  -- Whoever comes so late that its count could be a forgotten one would be given it anew.
  local complete = mark(KEYS[3], 'usage', forgotten)
  if is_full or tonumber(ARGV[1]) < complete then
    return {2}
  end
end
for _, one in ipairs(chosen) do
  local used = count(one[1])
  local till = math.max(used and used[2] or 0, one[4])
  local account = used and used[3] or one[2]
  local value = string.format('%.0f %.0f %s', (used and used[1] or 0) + 1, till, account)
  redis.call('HSET', KEYS[1], one[1], value)
  if not used or till > used[2] then
    redis.call('ZADD', ARGV[3] .. account, till, one[1])
    if not used and redis.call('ZCARD', ARGV[3] .. account) == 1 then
      redis.call('ZADD', KEYS[2], till, account)
    end
  end
end
return taken
