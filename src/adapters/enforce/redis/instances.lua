-- What each instance knows of its part of the fleet: notes that of one, and answers with those of the
-- others, each after its age (ms), by the server's clock.
--
-- KEYS  1 a hash: instance by when it told and what
-- ARGV  1 instance    2 what it knows; '': it leaves

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- How long an instance that tells nothing is remembered.
local remembered = 600000

if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return {}
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], remembered)
local all = redis.call('HGETALL', KEYS[1])
local found = {}
for index = 1, #all, 2 do
  local at, told = string.match(all[index + 1], '^(%d+) (.*)$')
  local age = now - (tonumber(at) or 0)
  -- One of the future, beyond what a server's clock may be set back, would be there for ever.
  if age > remembered or age < -60000 then
    redis.call('HDEL', KEYS[1], all[index])
  elseif all[index] ~= ARGV[1] then
    found[#found + 1] = string.format('%.0f', math.max(age, 0))
    found[#found + 1] = told
  end
end
return found
