package state

import "github.com/redis/go-redis/v9"

// How a store lies in Redis. All keys begin with KEYS[1]'s prefix, given as ARGV[1]:
//
//	<prefix>=<key>   the value, with Redis' own expiry
//	<prefix>keys     a sorted set of all keys, every score 0: Redis then orders it bytewise
//
// The scripts keep the set a superset of the live keys: a key is added before its value
// is set and removed after it is deleted, so that a script which dies in between leaves at
// most a name without a value. Those, and the names of values that expired, are removed by
// scan and by put, inside a script, where no concurrent put of the same key can interfere.
//
// Scripts name value keys that are not in KEYS. Redis Cluster allows it within one slot,
// where the prefix's hash tag keeps them.

// luaPut sets ARGV[2]. A put that will expire looks at two names at random and removes
// the dead ones, so that keys which nobody scans do not pile up in the set: at most about
// half of it is dead names.
const luaPut = `
local function put(value, ttl)
  redis.call('ZADD', KEYS[2], 0, ARGV[2])
  if ttl == '0' then
    redis.call('SET', KEYS[1], value)
    return
  end
  redis.call('SET', KEYS[1], value, 'PX', ttl)
  for _, name in ipairs(redis.call('ZRANDMEMBER', KEYS[2], 2)) do
    if redis.call('EXISTS', ARGV[1] .. '=' .. name) == 0 then
      redis.call('ZREM', KEYS[2], name)
    end
  end
end
local function remove()
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[2])
end
`

var (
	// putScript takes prefix, key, value, ttl in milliseconds.
	putScript = redis.NewScript(luaPut + `
put(ARGV[3], ARGV[4])
return 1`)

	// deleteScript takes prefix, key.
	deleteScript = redis.NewScript(luaPut + `
remove()
return 1`)

	// swapScript takes prefix, key, whether there is an old value, it, whether there is
	// a new one, it, ttl. It returns 0 on a conflict.
	swapScript = redis.NewScript(luaPut + `
local old = redis.call('GET', KEYS[1])
if ARGV[3] == '0' then
  if old then return 0 end
elseif old ~= ARGV[4] then
  return 0
end
if ARGV[5] == '0' then remove() else put(ARGV[6], ARGV[7]) end
return 1`)

	// scanScript takes prefix, lower and upper bound, how many names to look at, after
	// how many bytes of values to stop. It returns the last name it looked at, empty if
	// there are no more, then keys and values in turn.
	scanScript = redis.NewScript(`
local names = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
local found, last, bytes, seen = {}, '', 0, 0
for _, name in ipairs(names) do
  local value = redis.call('GET', ARGV[1] .. '=' .. name)
  if value then
    found[#found + 1] = name
    found[#found + 1] = value
    bytes = bytes + #value
  else
    redis.call('ZREM', KEYS[1], name)
  end
  seen, last = seen + 1, name
  if bytes >= tonumber(ARGV[5]) then break end
end
if seen == #names and seen < tonumber(ARGV[4]) then last = '' end
table.insert(found, 1, last)
return found`)
)
