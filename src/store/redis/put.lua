-- Writes a record if the one there is at the expected revision.
--
-- KEYS[1] hash of experiments   KEYS[2] hash of removals   KEYS[3] version   KEYS[4] format
-- ARGV[1] experiment   ARGV[2] expected revision, '' for none   ARGV[3] new value
-- ARGV[4] channel of changes   ARGV[5] format
-- Reply   {'OK', version}
--         {'CONFLICT', revision there or ''}
--         {'REMOVING', shards} when data of an earlier experiment of that name is still there
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local actual = stored and string.match(stored, '^%d+') or ''
if stored and actual == '' then return redis.error_reply('UNREADABLE a record has no revision') end
if actual ~= ARGV[2] then return {'CONFLICT', actual} end
local shards = redis.call('HGET', KEYS[2], ARGV[1])
if shards then return {'REMOVING', shards} end
-- Never below the clock in microseconds: a Redis that lost its past (a restart without a file, a
-- failover) and goes on must not come to a number that some replica has seen with other records.
local time = redis.call('TIME')
local version = math.max(redis.call('INCR', KEYS[3]), time[1] * 1000000 + time[2])
version = string.format('%.0f', version)
redis.call('SET', KEYS[3], version)
redis.call('SET', KEYS[4], ARGV[5], 'NX')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('PUBLISH', ARGV[4], version)
return {'OK', version}
