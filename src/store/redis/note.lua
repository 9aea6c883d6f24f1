-- Keeps a note unless its slot has one with this stamp or a higher one.
--
-- KEYS[1]  directory of the shard   KEYS[2]  notes of the shard, a hash
-- ARGV[1]  slot
-- ARGV[2]  the note: a stamp, 8 bytes, big-endian, and then bytes that mean nothing here
-- Reply    1 when it was kept, 0 when the one there stays
--
-- `<` on strings follows the locale, so stamps are compared byte by byte.

local function is_higher(one, other)
  for position = 1, 8 do
    local left, right = string.byte(one, position), string.byte(other, position)
    if left ~= right then return left > right end
  end
  return false
end

local there = redis.call('HGET', KEYS[2], ARGV[1])
if there and #there < 8 then
  return redis.error_reply('UNREADABLE a note is shorter than its stamp')
end
if there and not is_higher(ARGV[2], there) then return 0 end
redis.call('SADD', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
