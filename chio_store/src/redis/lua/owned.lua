-- Some records of an owner. KEYS: the owner's set, records. ARGV: where to go on, about how many.
-- Returns where to go on next, and key and record in turn.
local page = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local found = {}
for i = 1, #page[2], 2 do
  found[#found + 1] = page[2][i]
  found[#found + 1] = redis.call('HGET', KEYS[2], page[2][i])
end
return {page[1], found}
