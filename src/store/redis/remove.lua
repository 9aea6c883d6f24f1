-- Deletes a record at the expected revision, notes which shards are to be deleted after it, and
-- writes the event of the audit log that says so.
--
-- KEYS[1] hash of experiments   KEYS[2] hash of removals   KEYS[3] version   KEYS[4] format
-- KEYS[5] audit log   KEYS[6] its payloads   KEYS[7] log of changes
-- ARGV[1] experiment   ARGV[2] expected revision   ARGV[3] shards
-- ARGV[4] channel of changes
-- ARGV[5] head of the event   ARGV[6] its time in milliseconds
-- ARGV[7] most events   ARGV[8] most bytes of them   ARGV[9] their greatest age in milliseconds
-- ARGV[10] most entries of the log of changes
-- Reply   {'OK', version}
--         {'CONFLICT', revision there or ''}
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local actual = stored and string.match(stored, '^%d+') or ''
if stored and actual == '' then return redis.error_reply('UNREADABLE a record has no revision') end
if actual ~= ARGV[2] then return {'CONFLICT', actual} end
-- Read before the first write: a key of another type stops the script while nothing is changed.
redis.call('HLEN', KEYS[2])
redis.call('XLEN', KEYS[5])
redis.call('HLEN', KEYS[6])
local before = redis.call('GET', KEYS[3]) or '0'
local version = next_version(KEYS[3], KEYS[5])
log_change(KEYS[7], ARGV[10], before, version, ARGV[1])
redis.call('SET', KEYS[3], version)
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('HDEL', KEYS[1], ARGV[1])
write_event(KEYS[5], KEYS[6], version, ARGV[5], ARGV[6], record(stored), '')
drop_old_events(KEYS[5], KEYS[6], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]))
redis.call('PUBLISH', ARGV[4], version)
return {'OK', version}
