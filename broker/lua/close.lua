-- Close a provider until a time; of two closings the longer one holds.
-- KEYS closed   ARGV until (microseconds), milliseconds to keep it, state, reason   returns the time that holds
local held = tonumber(redis.call('HGET', KEYS[1], 'until') or 0)
if held >= tonumber(ARGV[1]) then return held end
redis.call('HSET', KEYS[1], 'until', ARGV[1], 'state', ARGV[3], 'reason', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return tonumber(ARGV[1])
