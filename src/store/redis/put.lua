-- Writes a record if the one there is at the expected revision, and the event of the audit log
-- that says so.
--
-- KEYS[1] hash of experiments   KEYS[2] hash of removals   KEYS[3] version   KEYS[4] format
-- KEYS[5] audit log   KEYS[6] its payloads   KEYS[7] log of changes
-- ARGV[1] experiment   ARGV[2] expected revision, '' for none   ARGV[3] new value
-- ARGV[4] channel of changes   ARGV[5] format
-- ARGV[6] head of the event   ARGV[7] its time in milliseconds
-- ARGV[8] most events   ARGV[9] most bytes of them   ARGV[10] their greatest age in milliseconds
-- ARGV[11] most entries of the log of changes
-- ARGV[12] the version that the catalog must be at, '' for any
-- Reply   {'OK', version}
--         {'CONFLICT', revision there or ''}
--         {'MOVED', version} when the catalog is not at that version
--         {'REMOVING', shards} when data of an earlier experiment of that name is still there
local format = redis.call('GET', KEYS[4])
if format and format ~= ARGV[5] then return redis.error_reply('UNREADABLE format ' .. format) end
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local actual = stored and string.match(stored, '^%d+') or ''
if stored and actual == '' then return redis.error_reply('UNREADABLE a record has no revision') end
if actual ~= ARGV[2] then return {'CONFLICT', actual} end
local before = redis.call('GET', KEYS[3]) or '0'
if ARGV[12] ~= '' and before ~= ARGV[12] then return {'MOVED', before} end
local shards = redis.call('HGET', KEYS[2], ARGV[1])
if shards then return {'REMOVING', shards} end
-- Read before the first write: a key of another type stops the script while nothing is changed.
redis.call('XLEN', KEYS[5])
redis.call('HLEN', KEYS[6])
local version = next_version(KEYS[3], KEYS[5])
log_change(KEYS[7], ARGV[11], before, version, ARGV[1])
redis.call('SET', KEYS[3], version)
redis.call('SET', KEYS[4], ARGV[5])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
write_event(KEYS[5], KEYS[6], version, ARGV[6], ARGV[7], record(stored), record(ARGV[3]))
drop_old_events(KEYS[5], KEYS[6], tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]))
redis.call('PUBLISH', ARGV[4], version)
return {'OK', version}
