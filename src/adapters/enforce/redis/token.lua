-- One token of the revocation limit that all instances share: at most so many in any hour, by the server's
-- clock, and one for each finding however often it is asked. It counts from when it was last asked for,
-- as the revocation comes after that, also where tripline was killed between the two.
--
-- KEYS  1 the tokens of all: a sorted set, finding by time    2 those of the tenant
-- ARGV  1 finding    2 allowed for all    3 allowed for the tenant (or '' without one)
-- Answers 1 if it is granted, else 0.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local hour = 3600000

for _, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - hour)
end
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
    return 0
  end
  if KEYS[2] and redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then
    return 0
  end
end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now, ARGV[1])
  redis.call('PEXPIRE', key, hour)
end
return 1
