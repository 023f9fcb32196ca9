-- Give the concurrency slot back.  A probe that ends without a verdict makes room for the next one.
-- KEYS leases, breaker   ARGV lease   returns 1 if the lease was still held
if redis.call('HGET', KEYS[2], 'probe') == ARGV[1] then
  redis.call('HDEL', KEYS[2], 'probe', 'probe_until')
end
return redis.call('ZREM', KEYS[1], ARGV[1])
