-- Stands before `put`, `remove` and `sweep`: what a change of a record does beside the record.
--
-- The audit log is a stream of heads, whose ids are versions of the catalog, and a hash with one
-- payload per version: heads are searched without reading the records they are about. Field
-- `bytes` of the hash counts what heads and payloads take together.

-- Events dropped in one call: few, so that no call keeps Redis busy for long; more than the one
-- that a change adds, so that a lowered limit is reached.
local STEP = 16

local function clock()
  local time = redis.call('TIME')
  return tonumber(time[1]), tonumber(time[2])
end

-- The next version. Never below the clock in microseconds: a Redis that lost its past (a restart
-- without a file, a failover) and goes on must not come to a number that some replica has seen
-- with other records. Never one that the log has had.
local function next_version(key, log)
  local seconds, micros = clock()
  local version = math.max(tonumber(redis.call('GET', key) or 0) + 1, seconds * 1000000 + micros)
  if redis.call('EXISTS', log) == 1 then
    local info = redis.call('XINFO', 'STREAM', log)
    for at = 1, #info - 1, 2 do
      if info[at] == 'last-generated-id' then
        version = math.max(version, tonumber(string.match(info[at + 1], '^%d+')) + 1)
      end
    end
  end
  return string.format('%.0f', version)
end

-- The log of changes names with every version the one before it, so that a reader sees whether
-- something is missing and whether it is the reader's own past. It takes ascending versions only:
-- one from another past is of no use to anybody.
local function log_change(changes, length, before, version, experiment)
  local entry = {version .. '-0', 'before', before, 'experiment', experiment}
  if redis.pcall('XADD', changes, 'MAXLEN', length, unpack(entry)).err then
    redis.call('DEL', changes)
    redis.call('XADD', changes, unpack(entry))
  end
end

-- The record in what the hash of experiments holds: behind its revision.
local function record(stored)
  return stored and string.sub(stored, string.find(stored, ' ', 1, true) + 1) or ''
end

local function write_event(log, payloads, version, head, time, before, after)
  local payload = struct.pack('>I4', #before) .. before .. after
  local size = #head + #payload
  redis.call('XADD', log, version .. '-0', 'head', head, 'time', time, 'size', size)
  redis.call('HSET', payloads, version, payload)
  redis.call('HINCRBY', payloads, 'bytes', size)
end

-- Drops the oldest events while there are too many, too large or too old, and answers how many it
-- dropped. The newest one stays however large it is.
local function drop_old_events(log, payloads, events, bytes, age)
  local seconds, micros = clock()
  local oldest = seconds * 1000 + math.floor(micros / 1000) - age
  local count, dropped = redis.call('XLEN', log), 0
  local total = tonumber(redis.call('HGET', payloads, 'bytes') or 0)
  while dropped < STEP and dropped < count do
    local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
    local time, size = tonumber(first[2][4]), tonumber(first[2][6])
    local left = count - dropped
    local crowded = left > 1 and (left > events or total > bytes)
    if not crowded and time >= oldest then return dropped end
    redis.call('XDEL', log, first[1])
    redis.call('HDEL', payloads, string.match(first[1], '^%d+'))
    redis.call('HINCRBY', payloads, 'bytes', -size)
    dropped, total = dropped + 1, total - size
  end
  if dropped == count then redis.call('UNLINK', log, payloads) end
  return dropped
end
