-- What happened to the records since a version.
--
-- KEYS[1] hash of experiments   KEYS[2] version   KEYS[3] log of changes
-- ARGV[1] the version   ARGV[2] most changes of one answer
-- Reply   {version, 'NONE', {}}
--         {version, 'UNKNOWN', {}} when the log does not lead from that version to this one
--         {version, 'LAST' or 'MORE', {experiment, record or nil, ...}}, each experiment once
local version = redis.call('GET', KEYS[2]) or '0'
if version == ARGV[1] then return {version, 'NONE', {}} end
local log = redis.call('XRANGE', KEYS[3], '(' .. ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])
-- Every entry names the version before it: so nothing is missing, and it is the same past.
if not log[1] or log[1][2][2] ~= ARGV[1] then return {version, 'UNKNOWN', {}} end
local reached = string.match(log[#log][1], '^%d+')
local records, seen = {}, {}
for _, change in ipairs(log) do
  local experiment = change[2][4]
  if not seen[experiment] then
    seen[experiment] = true
    records[#records + 1] = experiment
    records[#records + 1] = redis.call('HGET', KEYS[1], experiment)
  end
end
return {reached, reached == version and 'LAST' or 'MORE', records}
