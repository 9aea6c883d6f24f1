-- Counts a batch of events of one shard. Everything is read and checked before the first write,
-- because a script that fails halfway is not rolled back.
--
-- KEYS[1]   directory of the shard
-- KEYS[2]   set of exposed units
-- KEYS[3]   what the keys of the windows' event sets start with
-- KEYS[4..] rows
-- ARGV[1]   msgpack of {cells, events}:
--             cells   flat list of row, column: a cell is a counter of KEYS[3 + row]
--             events  list of {has_id, exposed_only, increments, if_unit_is_new}, the last two
--                     flat lists of cell, amount; a negative cell counts in units of 2^32
-- ARGV[2]   fingerprints of the events' units, 16 bytes each
-- ARGV[3]   fingerprints of the events' ids, 16 bytes each, 16 zero bytes where has_id is 0
-- ARGV[4]   length of a window in milliseconds
-- ARGV[5]   largest magnitude of a counter
-- Reply     one byte per event: C counted, D duplicate, N not exposed
-- Errors    COUNTERFULL when a counter would go beyond ARGV[5]
--
-- The keys of the windows follow from the time of the store and cannot be declared. They start
-- with KEYS[3], hence lie in the slot of the declared keys, which is all that a cluster asks for.
--
-- Numbers in Lua are doubles. An amount is below 2^32 in magnitude, in units of 1 or of 2^32, and
-- the two are summed apart: both sums are exact up to 2^21 increments in a batch.

local directory, units, windows = KEYS[1], KEYS[2], KEYS[3]
local batch = cmsgpack.unpack(ARGV[1])
local cells, events = batch[1], batch[2]
local limit = tonumber(ARGV[5])

-- unpack() is bound by the Lua stack, about 8,000 values.
local CHUNK = 1000

-- Reads -------------------------------------------------------------------------------------

local function slices(list)
  local first = 1 - CHUNK
  return function()
    first = first + CHUNK
    if first <= #list then return first, math.min(first + CHUNK - 1, #list) end
  end
end

local function mark_members(key, candidates, marks)
  for first, last in slices(candidates) do
    local found = redis.call('SMISMEMBER', key, unpack(candidates, first, last))
    for offset, is_member in ipairs(found) do
      if is_member == 1 then marks[candidates[first + offset - 1]] = true end
    end
  end
end

local function window_key(number) return windows .. string.format('%.0f', number) end

local function fingerprint(list, position)
  return string.sub(list, 16 * position - 15, 16 * position)
end

local time = redis.call('TIME')
local milliseconds = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local window = math.floor(milliseconds / tonumber(ARGV[4]))

local ids = {}
for position, event in ipairs(events) do
  if event[1] == 1 then ids[#ids + 1] = fingerprint(ARGV[3], position) end
end
-- The window after the current one matters when the clock was set back.
local counted = {}
for number = window - 1, window + 1 do mark_members(window_key(number), ids, counted) end

local unit_of = {}
for position = 1, #events do unit_of[position] = fingerprint(ARGV[2], position) end
local exposed = {}
mark_members(units, unit_of, exposed)

-- Decisions ---------------------------------------------------------------------------------

local sums = {}
local function add(increments)
  for i = 1, #increments, 2 do
    local cell = increments[i]
    sums[cell] = (sums[cell] or 0) + increments[i + 1]
  end
end

-- A product with 2^32 keeps the digits of the sum, hence is exact, too.
local function low(cell) return sums[cell] or 0 end
local function high(cell) return (sums[-cell] or 0) * 4294967296 end

local answers, new_ids, new_units = {}, {}, {}
for position, event in ipairs(events) do
  local id = event[1] == 1 and fingerprint(ARGV[3], position)
  local unit = unit_of[position]
  if id and counted[id] then
    answers[position] = 'D'
  elseif event[2] == 1 and not exposed[unit] then
    answers[position] = 'N'
  else
    answers[position] = 'C'
    if id then
      counted[id] = true
      new_ids[#new_ids + 1] = id
    end
    add(event[3])
    if not exposed[unit] then
      exposed[unit] = true
      new_units[#new_units + 1] = unit
      add(event[4])
    end
  end
end

-- Checks ------------------------------------------------------------------------------------

-- The touched cells of each row.
local touched, row_keys = {}, {}
for cell = 1, #cells / 2 do
  if sums[cell] or sums[-cell] then
    local key = KEYS[3 + cells[2 * cell - 1]]
    if not touched[key] then
      touched[key] = {}
      row_keys[#row_keys + 1] = key
    end
    table.insert(touched[key], cell)
  end
end

local function column(cell) return '#' .. string.format('%.0f', cells[2 * cell]) end

-- Rounded to 1,024 at the limit; from there to 2^63 there are 2 * 10^16.
for _, key in ipairs(row_keys) do
  for first, last in slices(touched[key]) do
    local call = {'BITFIELD', key}
    for i = first, last do
      call[#call + 1] = 'GET'
      call[#call + 1] = 'i64'
      call[#call + 1] = column(touched[key][i])
    end
    local now = redis.call(unpack(call))
    for offset, counter in ipairs(now) do
      local cell = touched[key][first + offset - 1]
      if math.abs(counter + low(cell) + high(cell)) > limit then
        return redis.error_reply('COUNTERFULL a counter would go beyond its limit')
      end
    end
  end
end

local known_keys = {}
local new_keys, candidates = {}, {units, window_key(window)}
for _, key in ipairs(row_keys) do candidates[#candidates + 1] = key end
mark_members(directory, candidates, known_keys)
local function enter(key) if not known_keys[key] then new_keys[#new_keys + 1] = key end end
if #new_units > 0 then enter(units) end
if #new_ids > 0 then enter(window_key(window)) end
for _, key in ipairs(row_keys) do enter(key) end

-- Writes ------------------------------------------------------------------------------------

-- Nothing below can fail: every type has been read above, and Redis decides whether there is
-- memory, a disk and a right to write before the first write of a script.

local function add_members(key, members)
  for first, last in slices(members) do
    redis.call('SADD', key, unpack(members, first, last))
  end
end

add_members(directory, new_keys)
add_members(units, new_units)
if #new_ids > 0 then
  add_members(window_key(window), new_ids)
  -- From the last event of the window on, for a whole window: two from its beginning.
  redis.call('PEXPIRE', window_key(window), 2 * tonumber(ARGV[4]))
end
-- The low part first: it is below 2^53 and cannot leave 64 bits by itself.
local function increase(key, part, counters)
  for first, last in slices(counters) do
    local call = {'BITFIELD', key, 'OVERFLOW', 'FAIL'}
    for i = first, last do
      call[#call + 1] = 'INCRBY'
      call[#call + 1] = 'i64'
      call[#call + 1] = column(counters[i])
      call[#call + 1] = string.format('%.0f', part(counters[i]))
    end
    redis.call(unpack(call))
  end
end

for _, key in ipairs(row_keys) do
  local large = {}
  for _, cell in ipairs(touched[key]) do
    if sums[-cell] then large[#large + 1] = cell end
  end
  increase(key, low, touched[key])
  increase(key, high, large)
end

return table.concat(answers)
