-- Makes an import show: what it laid aside becomes the records and the audit log.
--
-- KEYS[1] token of the import under way
-- KEYS[2] hash of experiments   KEYS[3] hash of removals   KEYS[4] version   KEYS[5] format
-- KEYS[6] audit log   KEYS[7] its payloads
-- KEYS[8] experiments laid aside   KEYS[9] what they claimed, as removals
-- KEYS[10] audit log laid aside   KEYS[11] its payloads
-- ARGV[1] token   ARGV[2] channel of changes   ARGV[3] format
-- Reply   'OK'
--         'INTERFERED' when another import has begun since, there are records, or a claim is gone,
--         because somebody created an experiment of that name
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'INTERFERED' end
if redis.call('EXISTS', KEYS[2], KEYS[6]) > 0 then return 'INTERFERED' end
local claims = redis.call('HGETALL', KEYS[9])
for at = 1, #claims, 2 do
  if redis.call('HGET', KEYS[3], claims[at]) ~= claims[at + 1] then return 'INTERFERED' end
end
local version = next_version(KEYS[4], KEYS[10])
redis.call('SET', KEYS[4], version)
redis.call('SET', KEYS[5], ARGV[3])
for at = 1, #claims, 2 do redis.call('HDEL', KEYS[3], claims[at]) end
for from, to in pairs({[8] = 2, [10] = 6, [11] = 7}) do
  if redis.call('EXISTS', KEYS[from]) == 1 then redis.call('RENAME', KEYS[from], KEYS[to]) end
end
redis.call('UNLINK', KEYS[1], KEYS[9])
redis.call('PUBLISH', ARGV[2], version)
return 'OK'
