-- Adds records; nothing becomes weaker. KEYS: revoked, standings, suspensions, usage, accounts with usage, accounts with
-- nonces, lists. ARGV: prefix of accounts with usage, prefix of nonces, prefixes of tables of entries, of their ends, and of the
-- sets of their owners; then of each record a letter and its four members.
local function enter(index, prefix, account)
  local head = redis.call('ZRANGE', prefix .. account, 0, 0, 'WITHSCORES')
  redis.call('ZADD', index, head[2], account)
end
local put = {}
function put.r(id, at, what)
  local value = redis.call('HGET', KEYS[1], id)
  if value then
    local first, name = string.match(value, '^(%d+) (.*)$')
    at = tonumber(first) < tonumber(at) and first or at
    what = name ~= '' and name or what
  end
  redis.call('HSET', KEYS[1], id, at .. ' ' .. what)
end
function put.s(id, till, who)
  local value = redis.call('HGET', KEYS[2], id)
  if value then
    local before, name = string.match(value, '^(%-?%d+) (.*)$')
    who = name ~= '' and name or who
    if before == '-1' or (till ~= '-1' and tonumber(before) > tonumber(till)) then
      till = before
    end
  end
  redis.call('HSET', KEYS[2], id, till .. ' ' .. who)
  if till == '-1' then
    redis.call('ZREM', KEYS[3], id)
  else
    redis.call('ZADD', KEYS[3], till, id)
  end
end
function put.u(grant, calls, till, account)
  local value = redis.call('HGET', KEYS[4], grant)
  if value then
    local used, before, its = string.match(value, '^(%d+) (%d+) (%x+)$')
    calls = tonumber(used) > tonumber(calls) and used or calls
    till = tonumber(before) > tonumber(till) and before or till
    account = its
  end
  redis.call('HSET', KEYS[4], grant, calls .. ' ' .. till .. ' ' .. account)
  redis.call('ZADD', ARGV[1] .. account, till, grant)
  enter(KEYS[5], ARGV[1], account)
end
function put.n(nonce, till, account)
  local before = redis.call('ZSCORE', ARGV[2] .. account, nonce)
  if not before or tonumber(before) < tonumber(till) then
    redis.call('ZADD', ARGV[2] .. account, till, nonce)
  end
  enter(KEYS[6], ARGV[2], account)
end
function put.v(issuer, sequence)
  local before = redis.call('HGET', KEYS[7], issuer)
  if not before or tonumber(before) < tonumber(sequence) then
    redis.call('HSET', KEYS[7], issuer, sequence)
  end
end
function put.e(key, till, owner, rest)
  local name, at = string.match(rest, '^(%l+) ()')
  if redis.call('HSETNX', ARGV[3] .. name, key, '0 ' .. till .. ' ' .. owner .. ' ' .. string.sub(rest, at)) == 1 then
    redis.call('ZADD', ARGV[4] .. name, till, key)
    redis.call('ZADD', ARGV[5] .. name .. ':' .. owner, till, key)
  end
end
for i = 6, #ARGV, 5 do
  put[ARGV[i]](ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
end
return 0
