-- Drops events of the audit log that have grown too old, a few at a time.
--
-- KEYS[1] audit log   KEYS[2] its payloads
-- ARGV[1] most events   ARGV[2] most bytes of them   ARGV[3] their greatest age in milliseconds
-- Reply   how many it dropped: 0 when there is nothing left to do
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return drop_old_events(KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]))
