-- Decide about one call against both windows of one quota and, when it is admitted, charge it: all or nothing.
-- A refusal writes nothing.  Two windows of any quota live in one string, so one key is all that a cluster needs.
--
-- KEYS[1]  the quota's log
-- ARGV     1 limit of a minute   2 limit of an hour   (so a change of role acts at once)
--          [3] stamps (doubles, milliseconds, ascending) of calls that were admitted while Redis was away: they are
--            charged whatever the limits say, and those older than the newest stamp count as that one
--          last: the last millisecond at which the answer is still waited for, 0: any; later nothing is charged
-- returns  {verdict, clock, minute left, minute wait, hour left, hour wait}   in milliseconds
--          verdict: 1 admitted, 0 refused, -1 too late; a wait lasts until more of that window is free, 0: it all is
--
-- The string is a header, a block of up to 8 stamps, and a ring of all older ones, 4 bytes each: the low 32 bits of a
-- millisecond.  Every stamp that is ever read is less than an hour older than the newest one, which the header holds in
-- full.  Header and block are read and written together; a block that is full goes to the ring, so that seven of eight
-- admissions are one write.
--   capacity, written       slots of the ring, a multiple of 8; stamps so far: stamp n goes to slot n % capacity
--   minute, hour            number of the first stamp that still counts in each window (or `written`: none)
--   minute_first, hour_first, newest    those stamps in full, so that most calls read nothing but the header
--   refreshed               second at which the time to live was last set

local MINUTE, HOUR, LAYOUT = 60000, 3600000, '<I4I4I4I4dddI4'
local HEADER, BLOCK, RING = 44, 8, 76  -- bytes, stamps, and where the ring begins
local LIFE = 2 * HOUR + MINUTE  -- set anew every hour, and so always longer than an hour
local SMALLEST = 16  -- slots
local key, minute_limit, hour_limit = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])

local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local admitted_elsewhere, deadline = ARGV[4] and ARGV[3], tonumber(ARGV[4] or ARGV[3])
if deadline > 0 and clock > deadline then return {-1, clock, 0, 0, 0, 0} end

local capacity, written, minute, hour, minute_first, hour_first, newest, refreshed = 0, 0, 0, 0, 0, 0, 0, 0
local head = redis.call('GETRANGE', key, 0, RING - 1)
if #head == RING then
  capacity, written, minute, hour, minute_first, hour_first, newest, refreshed = struct.unpack(LAYOUT, head)
  -- A clock set back by more than the whole log was wrong before: its stamps say nothing.
  if newest - clock > HOUR then capacity, written, minute, hour, newest = 0, 0, 0, 0, 0 end
end
local now = math.max(clock, newest)  -- a clock that ran back stands still until it has caught up

local kept = written - written % BLOCK  -- stamps in the ring; those from here on are in the block

local function stamp(n)
  local low
  if n >= kept then
    low = struct.unpack('<I4', head, HEADER + 1 + (n - kept) * 4)
  else
    local at = RING + n % capacity * 4
    low = struct.unpack('<I4', redis.call('GETRANGE', key, at, at + 3))
  end
  return newest - (newest - low) % 4294967296
end

-- The first stamp after `gone` that still counts.  Usually it is the next one, so gallop first and then bisect.
local function advance(gone, window)
  local dead = now - window
  if newest <= dead then return written, 0 end
  local step, first = 1, gone + 1
  local found = stamp(first)
  while found <= dead do
    gone, step = first, step * 2
    first = math.min(gone + step, written - 1)
    found = stamp(first)
  end
  while first - gone > 1 do
    local middle = math.floor((gone + first) / 2)
    local seen = stamp(middle)
    if seen <= dead then gone = middle else first, found = middle, seen end
  end
  return first, found
end

if minute < written and minute_first <= now - MINUTE then minute, minute_first = advance(minute, MINUTE) end
if hour < written and hour_first <= now - HOUR then hour, hour_first = advance(hour, HOUR) end
local minute_used, hour_used = written - minute, written - hour

-- A limit that was lowered leaves more stamps than it allows: all that are over it must go before one is free.
local function wait(used, limit, first, window)
  if used == 0 then return 0 end
  if used > limit then first = stamp(written - limit) end
  return first + window - clock
end

if not admitted_elsewhere and (minute_used >= minute_limit or hour_used >= hour_limit) then
  return {
    0, clock,
    math.max(0, minute_limit - minute_used), wait(minute_used, minute_limit, minute_first, MINUTE),
    math.max(0, hour_limit - hour_used), wait(hour_used, hour_limit, hour_first, HOUR),
  }
end

local fresh, count = '', 1
if not admitted_elsewhere then
  if minute_used == 0 then minute_first = now end
  if hour_used == 0 then hour_first = now end
  newest, fresh = now, struct.pack('<I4', now % 4294967296)
else
  count = 0
  for at = 1, #admitted_elsewhere, 8 do
    local late = math.min(now, math.max(newest, (struct.unpack('<d', admitted_elsewhere, at))))
    if late > now - HOUR then
      if minute_used + count == 0 then minute_first = late end
      if hour_used + count == 0 then hour_first = late end
      newest, fresh, count = late, fresh .. struct.pack('<I4', late % 4294967296), count + 1
    end
  end
end

local block = string.sub(head, HEADER + 1, HEADER + (written - kept) * 4)
if hour_used + count > capacity then
  -- Full of stamps that count: write the ring anew, in order from slot 0, with exactly the room of its next size.
  local all = string.sub(block, math.max(0, hour - kept) * 4 + 1)
  if kept > hour then
    local ring, from = redis.call('GETRANGE', key, RING, -1), hour % capacity * 4
    all = string.sub(string.sub(ring, from + 1) .. string.sub(ring, 1, from), 1, (kept - hour) * 4) .. all
  end
  capacity = math.max(hour_used + count, math.min(hour_limit, math.max(SMALLEST, capacity * 2)))
  capacity = math.ceil(capacity / BLOCK) * BLOCK
  written, minute, hour, refreshed = hour_used, minute - hour, 0, math.floor(clock / 1000)
  kept = written - written % BLOCK
  block = string.sub(all, kept * 4 + 1)
  redis.call('SET', key, string.rep('\0', RING) .. all .. string.rep('\0', capacity * 4 - #all), 'PX', LIFE)
end

written, block = written + count, block .. fresh
while #block >= BLOCK * 4 do
  redis.call('SETRANGE', key, RING + kept % capacity * 4, string.sub(block, 1, BLOCK * 4))
  kept, block = kept + BLOCK, string.sub(block, BLOCK * 4 + 1)
end
if math.abs(clock / 1000 - refreshed) >= 3600 then
  refreshed = math.floor(clock / 1000)
  redis.call('PEXPIRE', key, LIFE)
end
if capacity > 0 then
  redis.call('SETRANGE', key, 0, struct.pack(
    LAYOUT, capacity, written, minute, hour, minute_first, hour_first, newest, refreshed) .. block)
  head = string.rep(' ', HEADER) .. block  -- for `stamp` below
end

minute_used, hour_used = written - minute, written - hour
return {
  1, clock,
  math.max(0, minute_limit - minute_used), wait(minute_used, minute_limit, minute_first, MINUTE),
  math.max(0, hour_limit - hour_used), wait(hour_used, hour_limit, hour_first, HOUR),
}
