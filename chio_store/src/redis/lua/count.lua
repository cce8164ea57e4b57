-- Counts the nonces of some accounts. KEYS: accounts. ARGV: where to go on, prefix of nonces.
-- Returns where to go on next, and how many these have.
local page = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', 200)
local nonces = 0
for i = 1, #page[2], 2 do
  nonces = nonces + redis.call('ZCARD', ARGV[2] .. page[2][i])
end
return {page[1], nonces}
