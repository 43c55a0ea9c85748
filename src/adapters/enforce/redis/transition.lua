-- One transition of one credential: exactly once, never back.
--
-- KEYS  1 the credential's state: a hash
--       2 the change stream; left out where it lies in another slot of a Cluster
-- ARGV  1 decision    2 generation   3 status   4 kind      5 id
--       6 reason      7 finding      8 until    9 at       10 state ends at (unix seconds, or '')
--      11 stream length at most     12 channel (or '')     13 whether gateways read the state
--      14 own commands, as JSON: a list of lists of words
--      15 instance    16 base: the generation of the newest decision of another instance that it knew
--      17 origin, as JSON: where the decision comes from, for other instances
-- Answers {'applied'}, {'already'} (this decision is in force) or {'stale', generation, decision, status,
-- finding, until, reason, origin}: another one of that generation or a newer one is in force, or one of
-- another instance that was not known when this one was made.

local held = redis.call('HMGET', KEYS[1], 'decision', 'generation', 'status', 'finding', 'until', 'reason',
  'origin')
-- What tripline can't have written holds nothing, whatever its generation (see holdings.rs).
local statuses = { active = true, throttled = true, suspended = true, revoked = true }
local ours = held[1] and #held[1] == 18 and string.match(held[1], '^d_%x+$')
  and held[2] and #held[2] <= 15 and string.match(held[2], '^%d+$')
  and (not held[3] or statuses[held[3]])
local same = ours and held[1] == ARGV[1]
if same and tonumber(held[2]) == tonumber(ARGV[2]) and (not held[3] or held[3] == ARGV[3])
  and (not held[5] or held[5] == ARGV[8]) then
  return { 'already' }
end
if ours and not same then
  local read, origin = pcall(cjson.decode, held[7] or '')
  local writer = read and type(origin) == 'table' and origin.instance
  local newer = tonumber(held[2]) >= tonumber(ARGV[2])
  local unknown = writer ~= ARGV[15] and tonumber(held[2]) > tonumber(ARGV[16])
  if newer or unknown then
    return { 'stale', held[2], held[1], held[3] or '', held[4] or '', held[5] or '', held[6] or '',
      held[7] or '' }
  end
end

for _, words in ipairs(cjson.decode(ARGV[14])) do
  redis.call(unpack(words))
end

-- Before the hash: an entry that can't be written is a decision that is not in force, and is tried again.
if KEYS[2] then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[11], '*',
    'decision', ARGV[1], 'generation', ARGV[2], 'status', ARGV[3], 'kind', ARGV[4], 'id', ARGV[5],
    'reason', ARGV[6], 'finding', ARGV[7], 'until', ARGV[8], 'at', ARGV[9], 'origin', ARGV[17])
end
redis.call('HSET', KEYS[1], 'decision', ARGV[1], 'generation', ARGV[2], 'status', ARGV[3],
  'finding', ARGV[7], 'origin', ARGV[17])
redis.call('HSET', KEYS[1], 'reason', ARGV[6])
if ARGV[13] == '1' then
  redis.call('HSET', KEYS[1], 'until', ARGV[8], 'at', ARGV[9])
end
if ARGV[10] == '' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('EXPIREAT', KEYS[1], ARGV[10])
end

if ARGV[12] ~= '' then
  redis.call('PUBLISH', ARGV[12], cjson.encode({
    decision = ARGV[1], generation = tonumber(ARGV[2]), status = ARGV[3], kind = ARGV[4],
    id = ARGV[5], reason = ARGV[6], finding = ARGV[7], ['until'] = ARGV[8], at = ARGV[9] }))
end
return { 'applied' }
