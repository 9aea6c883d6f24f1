-- All rows of a shard at one point in time.
--
-- KEYS[1]  the shard's directory: the keys of everything it holds
-- ARGV[1]  what the keys of rows start with
-- reply    key, bytes, key, bytes, ...
--
-- A script, because rows are read against each other: a sum over a count of a moment later is no
-- mean. It reads keys that only the directory names; they have the directory's hash tag.
local prefix = ARGV[1]
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
