package redis

import "github.com/redis/go-redis/v9"

// All scripts go by the clock of the server, in milliseconds.
const clock = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`

// claimScript is Want.Needed and the lease. A hash has: token, the last one given;
// lease, when it ends, 0: nobody has it; by, who has it; retry, before when nobody gets
// it; ended, how the last claim did; sent, and at, when. It is kept as long as somebody
// asks for it, and a good while.
//
// Arguments: want, lease, how long to keep it beyond repeat and lease, claimant.
var claimScript = redis.NewScript(clock + `
local function subset(a, b)
  local set = {}
  for _, k in ipairs(b or {}) do set[k] = true end
  for _, k in ipairs(a or {}) do if not set[k] then return false end end
  return true
end
local h = redis.call('HMGET', KEYS[1], 'token', 'lease', 'retry', 'at', 'sent', 'by')
local token, lease, retry, at = tonumber(h[1] or 0), tonumber(h[2] or 0), tonumber(h[3] or 0), tonumber(h[4] or 0)
local sent = h[5] or '{}'
local last, want = cjson.decode(sent), cjson.decode(ARGV[1])
local keep = 2 * want['repeat'] + ARGV[2] + ARGV[3]
local function kept()
  if redis.call('PTTL', KEYS[1]) < keep then redis.call('PEXPIRE', KEYS[1], keep) end
end
if h[1] or h[4] then kept() end -- not else: a write makes a script go on when memory is full
if h[6] == ARGV[4] and lease > 0 then return {1, token, 0, at, sent} end
local firing, told = want.firing or {}, last.firing or {}
local needed
if want.always then needed = true
elseif #told == 0 and #firing == 0 then needed = false
elseif not subset(firing, told) then needed = true
elseif #firing == 0 then needed = want.send_resolved
elseif want.send_resolved and not subset(want.resolved, last.resolved) then needed = true
else needed = want['repeat'] > 0 and now >= at + want['repeat'] end
if not needed then return {2, 0, 0, at, sent} end
local held = math.max(lease, retry)
if held > now then return {3, 0, held - now, at, sent} end
token = math.max(token + 1, now)
redis.call('HSET', KEYS[1], 'token', token, 'lease', now + ARGV[2], 'by', ARGV[4], 'retry', 0)
kept()
return {1, token, 0, at, sent}
`)

// endScript ends the claim of a token: with what was sent, or until a retry.
//
// Arguments: token, sent or retry, and what was sent or how long to wait.
var endScript = redis.NewScript(clock + `
local h = redis.call('HMGET', KEYS[1], 'token', 'lease', 'ended')
if h[1] ~= ARGV[1] then return 0 end
if (h[2] or '0') == '0' then
  if h[3] == ARGV[2] .. ARGV[1] then return 1 end
  return 0
end
redis.call('HSET', KEYS[1], 'lease', 0, 'ended', ARGV[2] .. ARGV[1])
if ARGV[2] == 'sent' then
  redis.call('HSET', KEYS[1], 'at', now, 'sent', ARGV[3])
else
  redis.call('HSET', KEYS[1], 'retry', now + ARGV[3])
end
return 1
`)

// restoreScript leaves the token of whoever is sending alone.
//
// Arguments: when it was sent, what, token, how long to keep it.
var restoreScript = redis.NewScript(`
local h = redis.call('HMGET', KEYS[1], 'token', 'at', 'lease')
if tonumber(ARGV[1]) > tonumber(h[2] or 0) then redis.call('HSET', KEYS[1], 'at', ARGV[1], 'sent', ARGV[2]) end
if (h[3] or '0') == '0' and tonumber(ARGV[3]) > tonumber(h[1] or 0) then redis.call('HSET', KEYS[1], 'token', ARGV[3]) end
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return 1
`)

// Timers of a shard: t (by due) and f (given out, by the end of the lease) are sorted
// sets, g and l hashes of generations and leases, n counts leases.

var armScript = redis.NewScript(clock + `
local g = redis.call('HGET', KEYS[3], ARGV[1])
if g and tonumber(g) > tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
return 1
`)

// takeScript first takes back what was not done in time: moved within one script, so
// that no crash is between.
var takeScript = redis.NewScript(clock + `
for _, m in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  redis.call('ZADD', KEYS[1], redis.call('ZSCORE', KEYS[2], m), m)
  redis.call('ZREM', KEYS[2], m)
  redis.call('HDEL', KEYS[4], m)
end
local out = {}
for _, m in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  local lease = redis.call('INCR', KEYS[5])
  redis.call('ZREM', KEYS[1], m)
  redis.call('ZADD', KEYS[2], now + ARGV[2], m)
  redis.call('HSET', KEYS[4], m, lease)
  table.insert(out, m)
  table.insert(out, redis.call('HGET', KEYS[3], m) or '0')
  table.insert(out, tostring(lease))
end
return out
`)

var doneScript = redis.NewScript(`
if redis.call('HGET', KEYS[4], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
`)

// nextScript is when the next timer is due, less now; nil when there is none.
var nextScript = redis.NewScript(clock + `
local least = false
for i = 1, 2 do
  local first = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = tonumber(first[2]) - now
    if not least or wait < least then least = wait end
  end
end
return least
`)
