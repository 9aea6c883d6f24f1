-- Raises rows of one shard to the larger of what is there and what is given, column by column.
-- Everything is read and checked before the first write, because a script that fails halfway is
-- not rolled back.
--
-- KEYS[1]   directory of the shard
-- KEYS[2..] rows
-- ARGV[1..] the values for each of them, big-endian 64-bit integers that are not negative
-- Reply     'OK'
-- Errors    UNREADABLE when a row is no whole number of columns
--
-- Numbers in Lua are doubles and cannot tell large values apart, and `<` on strings follows the
-- locale. Values stay strings of 8 bytes and are compared byte by byte: big-endian and not
-- negative, the first byte that differs decides.

local directory = KEYS[1]
local UNTOUCHED = string.rep('\0', 8)

local function larger(one, other)
  for position = 1, 8 do
    local left, right = string.byte(one, position), string.byte(other, position)
    if left ~= right then return left > right and one or other end
  end
  return one
end

-- The columns given as they are to be. A row may be longer, and keeps what follows.
local function maxima(given, row)
  local columns = {}
  for first = 1, #given, 8 do
    local there = string.sub(row, first, first + 7)
    if there == '' then there = UNTOUCHED end
    columns[#columns + 1] = larger(string.sub(given, first, first + 7), there)
  end
  return table.concat(columns)
end

-- A row that does not grow may yet be unknown to the directory, when it was written while the
-- shard was being removed.
local unknown, grown = {}, {}
for position, given in ipairs(ARGV) do
  local key = KEYS[1 + position]
  local row = redis.call('GET', key) or ''
  if #row % 8 ~= 0 then
    return redis.error_reply('UNREADABLE a row is no whole number of columns')
  end
  local raised = maxima(given, row)
  if raised ~= string.sub(row, 1, #given) then grown[#grown + 1] = {key, raised} end
  if redis.call('SISMEMBER', directory, key) == 0 then unknown[#unknown + 1] = key end
end

for _, key in ipairs(unknown) do redis.call('SADD', directory, key) end
for _, row in ipairs(grown) do redis.call('SETRANGE', row[1], 0, row[2]) end
return redis.status_reply('OK')
