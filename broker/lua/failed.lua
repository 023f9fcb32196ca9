-- Count a failure; open the breaker after enough of them in a row, and again, for twice as long, after a failed probe.
-- KEYS breaker   ARGV now or '', failures that open it, first opening, longest opening (microseconds), jitter >= 1
-- returns the time until which it is open, or 0
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local kept = redis.call('HMGET', KEYS[1], 'open_until', 'opened')
local open_until, opened = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
if open_until > now then return open_until end  -- was under way when it opened: nothing new
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
redis.call('PEXPIRE', KEYS[1], 86400000)
if open_until == 0 and failures < tonumber(ARGV[2]) then return 0 end
local open_us = math.min(tonumber(ARGV[3]) * 2 ^ opened * tonumber(ARGV[5]), tonumber(ARGV[4]))
open_until = math.floor(now + open_us)
redis.call('HSET', KEYS[1], 'open_until', string.format('%.0f', open_until), 'opened', opened + 1)
redis.call('HDEL', KEYS[1], 'probe', 'probe_until')
return open_until
