-- All rows of a shard that one of its directories lists, at one point in time.
--
-- KEYS[1]  a directory of the shard: the keys of everything it holds, or of its segments' rows
-- KEYS[2]  what the keys of the rows asked for start with
-- reply    key, bytes, key, bytes, ...
--
-- A script, because rows are read against each other: a sum over a count of a moment later is no
-- mean. It reads keys that only the directory names; they have the directory's hash tag.
--
-- KEYS[2] is no key of anything, and named on purpose: while a cluster moves the slot key by key,
-- a node runs what names several keys only if it holds them all. So this waits until the slot has
-- moved, instead of reading the half of the rows that have arrived.
local prefix = KEYS[2]
local reply = {}
for _, key in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if string.sub(key, 1, #prefix) == prefix then
    local bytes = redis.call('GET', key)
    if bytes then
      reply[#reply + 1] = key
      reply[#reply + 1] = bytes
    end
  end
end
return reply
