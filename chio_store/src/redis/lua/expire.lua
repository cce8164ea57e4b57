-- Drops some records that have expired. KEYS: records, their ends. ARGV: prefix of the sets of owners, before when they have.
return expire(KEYS[1], KEYS[2], ARGV[1], ARGV[2], 500)
