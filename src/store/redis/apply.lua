-- Counts a batch of events of one shard. Everything is read and checked before the first write,
-- because a script that fails halfway is not rolled back.
--
-- KEYS[1]   directory of the shard
-- KEYS[2]   table of exposed units
-- KEYS[3]   what the keys of the windows' tables of events start with
-- KEYS[4]   what is remembered of the writer's last batch
-- KEYS[5]   table of labels of units
-- KEYS[6]   directory of the shard's rows of segments
-- KEYS[7..] rows
-- ARGV[1]   number of the batch: its writer counts up
-- ARGV[2]   length of a window in milliseconds
-- ARGV[3]   largest magnitude of a counter
-- ARGV[4]   one digit per event, a sum: 1 it has an id, 2 it asks for an exposed unit, 4 it has a
--           label
-- ARGV[5]   digests of the events' units, 8 bytes each
-- ARGV[6]   digests of the events' ids, 8 bytes each, whatever where there is none
-- ARGV[7]   cells: for each row the number of its cells (I4), then for each by column
--             column I4, increments I2, amount i6 I4: what all events together add in any case
-- ARGV[8]   parts: where in here the events' parts begin, from 1 (I4 each); a part is
--             certain I2, conditional I2, and as many of: cell I4, amount i6 I4
--           the certain ones are in the cells already, the conditional ones are not: they count
--           when the unit is new. Cells are numbered from 1 through all rows.
-- ARGV[9]   labels, 6 bytes each: of the events up to the last that has one
-- Reply     one byte per event: C counted, D duplicate, N not exposed, L the unit has another label;
--           then, for each L, the unit's label
-- Errors    COUNTERFULL when a counter would go beyond ARGV[3]
--           STALE when the writer has sent a later batch since
--
-- Optimism: nearly all events count, so their sum comes ready made, and only the parts of those
-- that are refused are looked at, to be taken off again.
--
-- The keys of the windows follow from the time of the store and cannot be declared. They start
-- with KEYS[3], hence lie in the slot of the declared keys, which is all that a cluster asks for.
--
-- Numbers in Lua are doubles. A 64-bit integer is two of them, high * 2^32 + low; both halves stay
-- far below 2^53, hence exact.

local directory, units, windows, writer = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local labels, segments = KEYS[5], KEYS[6]
local number, limit, flags = tonumber(ARGV[1]), tonumber(ARGV[3]), ARGV[4]
local HALF = 4294967296

-- Digests in a table go 16 to a bucket; see below.
local BUCKET = 16
local DIGEST, LABEL = 8, 6
-- Touched columns of a row this close are read and written in one piece, with what is between.
local GAP = 32
-- A day: longer than anything that was sent can be on its way.
local REMEMBERED = 86400000

local last = redis.call('GET', writer)
if last then
  local last_number, answers = string.match(last, '^(%d+) (.+)$')
  last_number = tonumber(last_number)
  if last_number == number then return answers end
  if not last_number or last_number > number then
    return redis.error_reply('STALE the writer has sent a later batch since')
  end
end

-- Tables of digests -------------------------------------------------------------------------
--
-- A table is a hash: field n holds the number of entries, every other field is a bucket of
-- entries, one after the other: 8-byte digests and what is kept with each. It is a linear hash
-- table: it has a bucket for every 16 entries, and whenever it gets another bucket, one bucket is
-- split in two. So a digest costs the same number of bytes and steps in a small table and in a
-- huge one, and whatever a batch looks up is one HMGET.

local function read_table(key, width)
  local count = tonumber(redis.call('HGET', key, 'n') or 0)
  local buckets = math.max(1, math.ceil(count / BUCKET))
  return {key = key, width = width, count = count, buckets = buckets, there = {}}
end

local function power_below(buckets)
  local power = 1
  while 2 * power <= buckets do power = 2 * power end
  return power
end

local function place(digest, buckets, power)
  local bucket = struct.unpack('>I4', digest, 5) % (2 * power)
  if bucket >= buckets then bucket = bucket - power end
  return bucket
end

local function fetch(t, wanted)
  local missing, listed = {}, {}
  for _, bucket in ipairs(wanted) do
    if not t.there[bucket] and not listed[bucket] then
      listed[bucket] = true
      missing[#missing + 1] = bucket
    end
  end
  -- unpack() is bound by the Lua stack, about 8,000 values.
  for first = 1, #missing, 1000 do
    local final = math.min(first + 999, #missing)
    local found = redis.call('HMGET', t.key, unpack(missing, first, final))
    for offset, content in ipairs(found) do t.there[missing[first + offset - 1]] = content or '' end
  end
end

-- What is kept with a digest, which may be nothing; nil when the digest is not there.
local function kept_with(bucket, digest, width)
  local at = string.find(bucket, digest, 1, true)
  while at do
    if at % width == 1 then return string.sub(bucket, at + DIGEST, at + width - 1) end
    at = string.find(bucket, digest, at + 1, true)
  end
end

local function mark_members(t, digests, marks)
  if t.count == 0 then return end
  local power, wanted = power_below(t.buckets), {}
  for i, digest in ipairs(digests) do wanted[i] = place(digest, t.buckets, power) end
  fetch(t, wanted)
  for i, digest in ipairs(digests) do
    marks[digest] = marks[digest] or kept_with(t.there[wanted[i]], digest, t.width)
  end
end

-- Reads all that an insertion will touch.
local function prepare(t, digests)
  local power, wanted = power_below(t.buckets), {}
  for i, digest in ipairs(digests) do wanted[i] = place(digest, t.buckets, power) end
  for bucket = t.buckets, math.ceil((t.count + #digests) / BUCKET) - 1 do
    local parent = bucket - power_below(bucket)
    if parent < t.buckets then wanted[#wanted + 1] = parent end
  end
  if t.count > 0 then fetch(t, wanted) end
end

local function insert(t, digests)
  local power, changed = power_below(t.buckets), {}
  for _, digest in ipairs(digests) do
    t.count = t.count + 1
    if t.count > BUCKET * t.buckets then
      local new, parent = t.buckets, t.buckets - power
      local stay, move = {}, {}
      local content = t.there[parent] or ''
      for first = 1, #content, t.width do
        local moved = string.sub(content, first, first + t.width - 1)
        local half = struct.unpack('>I4', moved, 5) % (2 * power) == new and move or stay
        half[#half + 1] = moved
      end
      t.there[parent], t.there[new] = table.concat(stay), table.concat(move)
      changed[parent], changed[new] = true, true
      t.buckets = new + 1
      if t.buckets == 2 * power then power = t.buckets end
    end
    local bucket = place(digest, t.buckets, power)
    t.there[bucket] = (t.there[bucket] or '') .. digest
    changed[bucket] = true
  end
  local call = {'HSET', t.key, 'n', t.count}
  for bucket in pairs(changed) do
    call[#call + 1] = bucket
    call[#call + 1] = t.there[bucket]
    if #call >= 1000 then
      redis.call(unpack(call))
      call = {'HSET', t.key, 'n', t.count}
    end
  end
  redis.call(unpack(call))
end

-- Reads -------------------------------------------------------------------------------------

local ids, unit_of, id_of = {}, {}, {}
for position = 1, #flags do
  unit_of[position] = string.sub(ARGV[5], 8 * position - 7, 8 * position)
  if string.byte(flags, position) % 2 == 1 then
    local id = string.sub(ARGV[6], 8 * position - 7, 8 * position)
    id_of[position] = id
    ids[#ids + 1] = id
  end
end

local time = redis.call('TIME')
local milliseconds = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local window = math.floor(milliseconds / tonumber(ARGV[2]))
local function window_key(offset) return windows .. string.format('%.0f', window + offset) end

local counted, events = {}, nil
if #ids > 0 then
  events = read_table(window_key(0), DIGEST)
  mark_members(events, ids, counted)
  mark_members(read_table(window_key(-1), DIGEST), ids, counted)
  -- The window after the current one matters when the clock was set back.
  mark_members(read_table(window_key(1), DIGEST), ids, counted)
end
local exposed, exposures = {}, read_table(units, DIGEST)
mark_members(exposures, unit_of, exposed)
local label_of, labelled = {}, nil
if #ARGV[9] > 0 then
  labelled = read_table(labels, DIGEST + LABEL)
  mark_members(labelled, unit_of, label_of)
end
local UNLABELLED = string.rep('\0', LABEL)

-- Decisions ---------------------------------------------------------------------------------

-- What is added to the cells beside what comes ready made.
local high_of, low_of, touches = {}, {}, {}

local function add(position, conditional, sign)
  local at = struct.unpack('>I4', ARGV[8], 4 * position - 3)
  local certain, others
  certain, others, at = struct.unpack('>I2I2', ARGV[8], at)
  if conditional then at = at + 14 * certain end
  for _ = 1, conditional and others or certain do
    local cell, high, low
    cell, high, low, at = struct.unpack('>I4i6I4', ARGV[8], at)
    high_of[cell] = (high_of[cell] or 0) + sign * high
    low_of[cell] = (low_of[cell] or 0) + sign * low
    touches[cell] = (touches[cell] or 0) + sign
  end
end

local answers, new_ids, new_units, new_labels, told = {}, {}, {}, {}, {}
for position = 1, #flags do
  local id, unit, flag = id_of[position], unit_of[position], string.byte(flags, position) - 48
  local label
  if flag >= 4 then label = string.sub(ARGV[9], LABEL * (position - 1) + 1, LABEL * position) end
  if id and counted[id] then
    answers[position] = 'D'
    add(position, false, -1)
  elseif not exposed[unit] and flag % 4 >= 2 then
    answers[position] = 'N'
    add(position, false, -1)
  elseif label and exposed[unit] and label ~= (label_of[unit] or UNLABELLED) then
    answers[position] = 'L'
    told[#told + 1] = label_of[unit] or UNLABELLED
    add(position, false, -1)
  else
    answers[position] = 'C'
    if id then
      counted[id] = true
      new_ids[#new_ids + 1] = id
    end
    if not exposed[unit] then
      exposed[unit] = true
      new_units[#new_units + 1] = unit
      if label and label ~= UNLABELLED then
        label_of[unit] = label
        new_labels[#new_labels + 1] = unit .. label
      end
      add(position, true, 1)
    end
  end
end
answers = table.concat(answers) .. table.concat(told)

-- Checks ------------------------------------------------------------------------------------

-- The pieces of rows as they are to be: {key, offset, bytes}.
local pieces, row_keys = {}, {}
local full = false

local function renew(key, run)
  local first, bytes = run[1], 8 * (run[#run - 2] - run[1] + 1)
  local now = redis.call('GETRANGE', key, 8 * first, 8 * first + bytes - 1)
  if #now < bytes then now = now .. string.rep('\0', bytes - #now) end
  local parts, kept = {}, 1
  for i = 1, #run, 3 do
    local at = 8 * (run[i] - first) + 1
    local high, low = struct.unpack('>i4I4', now, at)
    low = low + run[i + 2]
    local carry = math.floor(low / HALF)
    low = low - carry * HALF
    high = high + run[i + 1] + carry
    -- Rounded to 1,024 at the limit; from there to 2^63 there are 2 * 10^16.
    if math.abs(high * HALF + low) > limit then
      full = true
      return
    end
    if kept < at then parts[#parts + 1] = string.sub(now, kept, at - 1) end
    parts[#parts + 1] = struct.pack('>i4I4', high, low)
    kept = at + 8
  end
  pieces[#pieces + 1] = {key, 8 * first, table.concat(parts)}
end

local at, cell = 1, 0
for row = 7, #KEYS do
  local key, cells, run = KEYS[row], 0, nil
  cells, at = struct.unpack('>I4', ARGV[7], at)
  for _ = 1, cells do
    local column, touched, high, low
    column, touched, high, low, at = struct.unpack('>I4I2i6I4', ARGV[7], at)
    cell = cell + 1
    if touches[cell] then
      touched = touched + touches[cell]
      high, low = high + high_of[cell], low + low_of[cell]
    end
    if touched > 0 then
      if run and column - run[#run - 2] > GAP then
        renew(key, run)
        run = nil
      elseif not run then
        row_keys[#row_keys + 1] = key
      end
      run = run or {}
      local n = #run
      run[n + 1], run[n + 2], run[n + 3] = column, high, low
    end
  end
  if run then renew(key, run) end
end
if full then return redis.error_reply('COUNTERFULL a counter would go beyond its limit') end

if #new_ids > 0 then prepare(events, new_ids) end
if #new_units > 0 then prepare(exposures, new_units) end
if #new_labels > 0 then prepare(labelled, new_labels) end

local written, written_segments = {writer}, {}
if #new_ids > 0 then written[#written + 1] = events.key end
if #new_units > 0 then written[#written + 1] = units end
if #new_labels > 0 then written[#written + 1] = labels end
-- Behind the tag, which ends where 'directory' begins.
local tag = #directory - #'directory'
for _, key in ipairs(row_keys) do
  local list = string.sub(key, tag + 1, tag + 6) == 'row:g/' and written_segments or written
  list[#list + 1] = key
end
local function unknown(listed, keys)
  local new = {}
  for first = 1, #keys, 1000 do
    local final = math.min(first + 999, #keys)
    local known = redis.call('SMISMEMBER', listed, unpack(keys, first, final))
    for offset, is_known in ipairs(known) do
      if is_known == 0 then new[#new + 1] = keys[first + offset - 1] end
    end
  end
  return new
end
local new_keys, new_segments = unknown(directory, written), unknown(segments, written_segments)

-- Writes ------------------------------------------------------------------------------------

-- Nothing below can fail: every type has been read above, and Redis decides whether there is
-- memory, a disk and a right to write before the first write of a script.

local function list(listed, keys)
  for first = 1, #keys, 1000 do
    redis.call('SADD', listed, unpack(keys, first, math.min(first + 999, #keys)))
  end
end
list(directory, new_keys)
list(segments, new_segments)
if #new_units > 0 then insert(exposures, new_units) end
if #new_labels > 0 then insert(labelled, new_labels) end
if #new_ids > 0 then
  insert(events, new_ids)
  -- From the last event of the window on, for a whole window: two from its beginning.
  redis.call('PEXPIRE', events.key, 2 * tonumber(ARGV[2]))
end
for _, piece in ipairs(pieces) do redis.call('SETRANGE', piece[1], piece[2], piece[3]) end
redis.call('SET', writer, ARGV[1] .. ' ' .. answers, 'PX', REMEMBERED)

return answers
