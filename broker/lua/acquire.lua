-- Decide about one call to a provider and, when it is granted, book it: all or nothing.
--
-- KEYS     closed, breaker, leases, slots, promised, budget, lease
-- ARGV[1]  JSON, times in microseconds:
--          {now?, lease, cost, lease_us, patience_us, rates: [[calls, window_us], ...], concurrency?,
--           budget?: {amount, start, end, burst_divisor}}
-- returns  {"granted", now, slot, probe}           call at `slot`; probe is 1 for the one call of a half-open breaker
--          {"wait", now, state, until, a, b, text}  a, b, text: what the sentence for people needs, by state
--          {"seed"}                                 the budget's count is not here: restore it, then ask again

local CLOSED, BREAKER, LEASES, SLOTS, PROMISED, BUDGET, LEASE =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local ask = cjson.decode(ARGV[1])

local SECOND = 1000000
local HORIZON = 30 * SECOND    -- refused callers are spread over at most this long
local FAR_AHEAD = 61 * SECOND  -- nobody may reserve this far: such a slot is left from a clock that was set back
local PROBE_POLL = 5 * SECOND

local now = ask.now
if not now then
  local time = redis.call('TIME')  -- one clock for all workers
  now = tonumber(time[1]) * SECOND + tonumber(time[2])
end

local function integer(value) return string.format('%.0f', value) end

local function wait(state, till, a, b, text)
  return {'wait', now, state, till, a or 0, b or 0, text or ''}
end

-- Spread refused callers, so that they do not all come back for the same slot.  Nothing is reserved.
local function staggered(earliest, step)
  local last = tonumber(redis.call('GET', PROMISED) or 0)
  local till = math.max(earliest, last + step)
  if till > earliest + HORIZON then till = earliest end
  redis.call('SET', PROMISED, integer(till), 'PX', integer(math.max(1, math.ceil((till - now + SECOND) / 1000))))
  return till
end

local function refused_by_closing()
  local till = tonumber(redis.call('HGET', CLOSED, 'until') or 0)
  if till > now then
    return wait(redis.call('HGET', CLOSED, 'state'), till, 0, 0, redis.call('HGET', CLOSED, 'reason'))
  end
end

local probe = 0

local function refused_by_breaker()
  local kept = redis.call('HMGET', BREAKER, 'open_until', 'probe_until', 'failures')
  local open_until, probe_until, failures = tonumber(kept[1] or 0), tonumber(kept[2] or 0), tonumber(kept[3] or 0)
  if open_until == 0 then return end
  if open_until > now then return wait('breaker', open_until, failures, 0) end
  if probe_until > now then return wait('breaker', math.min(probe_until, now + PROBE_POLL), failures, 1) end
  probe = 1
end

local function refused_by_budget()
  local budget = ask.budget
  if not budget or ask.cost == 0 then return end
  local kept = redis.call('HMGET', BUDGET, 'spent', 'total')
  if not kept[1] then return {'seed'} end
  local spent = tonumber(kept[1])
  local amount = math.min(budget.amount, tonumber(kept[2] or budget.amount))
  if spent + ask.cost > amount then return wait('quota', budget['end'], spent, amount) end
  local burst = math.max(ask.cost, math.ceil(amount / budget.burst_divisor))
  local due = budget.start + math.ceil((spent + ask.cost - burst) * (budget['end'] - budget.start) / amount)
  if now < due then return wait('pace', due, spent, amount) end
end

local function refused_by_concurrency()
  if not ask.concurrency then return end
  redis.call('ZREMRANGEBYSCORE', LEASES, '-inf', integer(now))
  local in_flight = redis.call('ZCARD', LEASES)
  if in_flight >= ask.concurrency then
    return wait('concurrency', staggered(now + SECOND, SECOND / ask.concurrency), in_flight, ask.concurrency)
  end
end

-- Slots are given in order, so a new one is right for a rate of n calls in a window exactly when it lies after the end
-- of the (closed) window that starts at the n-th last one: sliding window log, never more than n in any window.
local slot, binding, step = now, 0, 0

local function find_slot()
  local widest = 0
  for _, rate in ipairs(ask.rates) do widest = math.max(widest, rate[2]) end
  redis.call('ZREMRANGEBYSCORE', SLOTS, '-inf', '(' .. integer(now - widest))
  redis.call('ZREMRANGEBYSCORE', SLOTS, integer(now + FAR_AHEAD), '+inf')
  local last = redis.call('ZREVRANGE', SLOTS, 0, 0, 'WITHSCORES')
  if last[2] then slot = math.max(slot, tonumber(last[2])) end
  for i, rate in ipairs(ask.rates) do
    step = math.max(step, rate[2] / rate[1])
    local nth = redis.call('ZREVRANGE', SLOTS, rate[1] - 1, rate[1] - 1, 'WITHSCORES')
    if nth[2] and tonumber(nth[2]) + rate[2] + 1 > slot then
      slot, binding = tonumber(nth[2]) + rate[2] + 1, i
    end
  end
  return widest
end

local function refused_by_rate()
  -- A call is charged to the period in which it was granted, so it may not slip into the next one.
  local crosses = ask.budget and ask.cost > 0 and slot > now and slot >= ask.budget['end']
  if crosses or slot > now + ask.patience_us then
    return wait('rate', staggered(slot, step), math.max(binding, 1), 0)
  end
end

local function book(widest)
  local expires = slot + ask.lease_us
  local kept_ms = integer(math.ceil((expires - now) / 1000) + 300000)
  redis.call('HSET', LEASE, 'cost', ask.cost, 'slot', integer(slot), 'probe', probe)
  redis.call('PEXPIRE', LEASE, kept_ms)
  redis.call('ZADD', LEASES, integer(expires), ask.lease)
  redis.call('PEXPIRE', LEASES, kept_ms)
  if #ask.rates > 0 then
    redis.call('ZADD', SLOTS, integer(slot), ask.lease)
    redis.call('PEXPIRE', SLOTS, integer(math.ceil((slot - now + widest) / 1000) + 60000))
  end
  if ask.budget and ask.cost > 0 then redis.call('HINCRBY', BUDGET, 'spent', ask.cost) end
  if probe == 1 then redis.call('HSET', BREAKER, 'probe', ask.lease, 'probe_until', integer(expires)) end
  return {'granted', now, slot, probe}
end

-- A client that lost its connection asks again with the same lease: it is answered, not charged again.
local again = redis.call('HMGET', LEASE, 'slot', 'probe')
if again[1] then return {'granted', now, tonumber(again[1]), tonumber(again[2])} end

local refusal = refused_by_closing() or refused_by_breaker() or refused_by_budget() or refused_by_concurrency()
if refusal then return refusal end
local widest = find_slot()
return refused_by_rate() or book(widest)
