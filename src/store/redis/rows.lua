-- Rows of a shard that its directories list, at one point in time.
--
-- KEYS[1]  a directory of the shard: the keys of everything it holds, or of its segments' rows
-- KEYS[2]  what the keys of the rows asked for start with
-- KEYS[3], KEYS[4], ... the same for further directories
-- reply    key, bytes, key, bytes, ...
--
-- A script, because rows are read against each other: a sum over a count of a moment later is no
-- mean. It reads keys that only the directories name; they have the directories' hash tag.
--
-- KEYS[2] is no key of anything, and named on purpose: while a cluster moves the slot key by key,
-- a node runs what names several keys only if it holds them all. So this waits until the slot has
-- moved, instead of reading the half of the rows that have arrived.
local reply = {}
for position = 1, #KEYS, 2 do
  local prefix = KEYS[position + 1]
  for _, key in ipairs(redis.call('SMEMBERS', KEYS[position])) do
    if string.sub(key, 1, #prefix) == prefix then
      local bytes = redis.call('GET', key)
      if bytes then
        reply[#reply + 1] = key
        reply[#reply + 1] = bytes
      end
    end
  end
end
return reply
