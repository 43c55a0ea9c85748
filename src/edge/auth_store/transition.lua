-- One transition of one credential: exactly once, never back.
--
-- KEYS  1 the credential's state: a hash
--       2 the change stream
-- ARGV  1 decision    2 generation   3 status   4 kind      5 id
--       6 reason      7 finding      8 until    9 at       10 state ends at (unix seconds, or '')
--      11 stream length at most     12 channel (or '')     13 whether gateways read the state
--      14 own commands, as JSON: a list of lists of words
-- Answers 'applied', 'already' (this decision is in force) or 'stale:N' (a newer one is, of
-- generation N).

local held = redis.call('HMGET', KEYS[1], 'decision', 'generation')
if held[1] == ARGV[1] then
  return 'already'
end
if held[2] and tonumber(held[2]) >= tonumber(ARGV[2]) then
  return 'stale:' .. held[2]
end

for _, words in ipairs(cjson.decode(ARGV[14])) do
  redis.call(unpack(words))
end

redis.call('HSET', KEYS[1], 'decision', ARGV[1], 'generation', ARGV[2])
if ARGV[13] == '1' then
  redis.call('HSET', KEYS[1], 'status', ARGV[3], 'reason', ARGV[6], 'finding', ARGV[7],
    'until', ARGV[8], 'at', ARGV[9])
end
if ARGV[10] == '' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('EXPIREAT', KEYS[1], ARGV[10])
end

redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[11], '*',
  'decision', ARGV[1], 'generation', ARGV[2], 'status', ARGV[3], 'kind', ARGV[4], 'id', ARGV[5],
  'reason', ARGV[6], 'finding', ARGV[7], 'until', ARGV[8], 'at', ARGV[9])
if ARGV[12] ~= '' then
  redis.call('PUBLISH', ARGV[12], cjson.encode({
    decision = ARGV[1], generation = tonumber(ARGV[2]), status = ARGV[3], kind = ARGV[4],
    id = ARGV[5], reason = ARGV[6], finding = ARGV[7], ['until'] = ARGV[8], at = ARGV[9] }))
end
return 'applied'
