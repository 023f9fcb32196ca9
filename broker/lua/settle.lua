-- Replace what was booked for a lease by what the answer's headers say; a second time changes nothing.
-- KEYS budget, lease   ARGV charged or '', remaining or ''   returns 1 if the figures were taken
--
-- A lease that is not here was lost with Redis while its call was under way: the count was restored without it, so it is
-- added.  (Restored in the very moment between the writing of the call and this, the count holds it twice: never less.)
if redis.call('HEXISTS', KEYS[1], 'spent') == 0 then return 0 end  -- lost with Redis: the seed will hold it
local lease = redis.call('HMGET', KEYS[2], 'cost', 'settled')
if lease[2] then return 0 end
redis.call('HSET', KEYS[2], 'settled', 1)
redis.call('PEXPIRE', KEYS[2], 300000)
if ARGV[1] ~= '' then redis.call('HINCRBY', KEYS[1], 'spent', tonumber(ARGV[1]) - tonumber(lease[1] or 0)) end
if ARGV[2] ~= '' then
  -- Others may spend from the same account: no more than this can be spent in the period, whatever the budget says.
  redis.call('HSET', KEYS[1], 'total', tonumber(redis.call('HGET', KEYS[1], 'spent')) + tonumber(ARGV[2]))
end
return 1
