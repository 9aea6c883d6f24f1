-- Deletes the note of a removal whose data is gone.
--
-- KEYS[1] hash of removals
-- ARGV[1] experiment   ARGV[2] the note as it was when its data was deleted
-- Reply   1 when it was there
--
-- A script, so that somebody who is late does not delete the note of a later removal.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
