-- Deletes some keys of a shard that is being removed.
--
-- KEYS[1]  directory of the shard: the names of all its other keys
-- ARGV[1]  most keys to delete: few enough that Redis serves others in between
-- Reply    how many names it took from the directory: 0 when nothing is left
--
-- A script, so that a name leaves the directory together with its key: whoever goes on after a
-- crash finds in the directory exactly what is left, and nobody deletes by a list that was read a
-- moment ago, when by now the keys may belong to a new experiment of that name. It deletes keys
-- that only the directory names; they have the directory's hash tag. Large values are given back
-- to memory by a thread of Redis.
local names = redis.call('SPOP', KEYS[1], ARGV[1])
for _, name in ipairs(names) do redis.call('UNLINK', name) end
return #names
