-- All records and the version that they stand at.
--
-- KEYS[1] hash of experiments   KEYS[2] version
-- Reply   {version, records}; no version before the first record
return {redis.call('GET', KEYS[2]), redis.call('HVALS', KEYS[1])}
