-- Deletes a record at the expected revision and notes which shards are to be deleted after it.
--
-- KEYS[1] hash of experiments   KEYS[2] hash of removals   KEYS[3] version   KEYS[4] format
-- ARGV[1] experiment   ARGV[2] expected revision   ARGV[3] shards
-- ARGV[4] channel of changes
-- Reply   {'OK', version}
--         {'CONFLICT', revision there or ''}
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local actual = stored and string.match(stored, '^%d+') or ''
if stored and actual == '' then return redis.error_reply('UNREADABLE a record has no revision') end
if actual ~= ARGV[2] then return {'CONFLICT', actual} end
redis.call('HLEN', KEYS[2])
-- Never below the clock in microseconds: a Redis that lost its past (a restart without a file, a
-- failover) and goes on must not come to a number that some replica has seen with other records.
local time = redis.call('TIME')
local version = math.max(redis.call('INCR', KEYS[3]), time[1] * 1000000 + time[2])
version = string.format('%.0f', version)
redis.call('SET', KEYS[3], version)
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[4], version)
return {'OK', version}
