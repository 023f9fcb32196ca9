-- Replace what was booked for a lease by what the answer's headers say; a second time changes nothing.
-- KEYS budget, lease   ARGV charged or '', remaining or ''   returns 1 if the figures were taken
if redis.call('HEXISTS', KEYS[1], 'spent') == 0 then return 0 end  -- lost with Redis: the seed will hold it
local cost = redis.call('HGET', KEYS[2], 'cost')
if not cost then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[1] ~= '' then redis.call('HINCRBY', KEYS[1], 'spent', tonumber(ARGV[1]) - tonumber(cost)) end
if ARGV[2] ~= '' then
  -- Others may spend from the same account: no more than this can be spent in the period, whatever the budget says.
  redis.call('HSET', KEYS[1], 'total', tonumber(redis.call('HGET', KEYS[1], 'spent')) + tonumber(ARGV[2]))
end
return 1
