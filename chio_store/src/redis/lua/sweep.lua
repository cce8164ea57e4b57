-- Drops some of the nonces that have expired. KEYS: epoch, accounts. ARGV: before when they have, prefix of nonces.
local dropped, last = sweep(KEYS[2], ARGV[2], ARGV[1], 192, 192)
if dropped > 0 then
  mark(KEYS[1], 'nonces', last + 1)
end
return dropped
