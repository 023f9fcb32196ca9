-- Restore what was spent in a period; a larger figure already here has seen calls that the seed has not.
-- KEYS budget   ARGV spent, milliseconds to keep it   returns the figure that holds
local spent = math.max(tonumber(ARGV[1]), tonumber(redis.call('HGET', KEYS[1], 'spent') or 0))
redis.call('HSET', KEYS[1], 'spent', spent)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return spent
