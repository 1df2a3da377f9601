"""Lua scripts for what no single command does, and no MULTI does safely: look at who owns an entry, then act.

A server runs them (``EVAL``). The model has no Lua: it knows these texts and does the same by itself
(`stream_commands.known_scripts`), and the differential tests compare the two.

Why not MULTI: a transaction cannot look before it acts, and if one of its commands fails the others are
executed all the same.
"""

from __future__ import annotations

import hashlib
from typing import Final

#: KEYS: stream. ARGV: group, consumer, then pairs of an entry id and the delivery count it was received with.
#: Acknowledges what this consumer owns by that delivery. For each: 1 acknowledged, 0 another owns it by
#: now (or this one, delivered again), -1 not pending any more.
FENCED_ACK: Final = """\
local answers = {}
for i = 3, #ARGV, 2 do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
  if not pending then
    answers[#answers + 1] = -1
  elseif pending[2] == ARGV[2] and pending[4] == tonumber(ARGV[i + 1]) then
    answers[#answers + 1] = redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  else
    answers[#answers + 1] = 0
  end
end
return answers
"""

#: KEYS: stream. ARGV: group, consumer, entry ids. A heartbeat: sets the idle time of what this consumer
#: still owns back to 0 and leaves the delivery count alone. Gives the ids that are still its own.
RENEW: Final = """\
local own = {}
for i = 3, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)[1]
  if pending and pending[2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
    own[#own + 1] = ARGV[i]
  end
end
return own
"""

#: KEYS: stream, dead-letter stream. ARGV: group, consumer, entry id. Moves an entry that this consumer owns
#: to the dead-letter stream, with where it comes from; XADD goes first, so that an error (a key of another
#: type, no memory) ends the script with the entry still pending. Gives the dead letter's id; nil if this
#: consumer does not own the entry, or it is gone from the stream.
DEAD_LETTER: Final = """\
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
local entry = redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3])[1]
if not pending or pending[2] ~= ARGV[2] or not entry then
  return false
end
local id = redis.call('XADD', KEYS[2], '*', 'dead:id', ARGV[3], 'dead:group', ARGV[1],
  'dead:consumer', ARGV[2], 'dead:deliveries', pending[4], unpack(entry[2]))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
return id
"""

#: KEYS: stream. ARGV: group, own name, idle time in ms. Removes the group's consumers that hold nothing and
#: have been idle for so long, but for this one. Gives their names. (XGROUP DELCONSUMER destroys what a
#: consumer holds: between a look and the command, it may have been given something.) XPENDING is there for its
#: NOGROUP, which XINFO does not say of a stream that is gone.
REMOVE_IDLE_CONSUMERS: Final = """\
local removed = {}
redis.call('XPENDING', KEYS[1], ARGV[1])
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #flat, 2 do
    consumer[flat[i]] = flat[i + 1]
  end
  if consumer.pending == 0 and consumer.idle >= tonumber(ARGV[3]) and consumer.name ~= ARGV[2] then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    removed[#removed + 1] = consumer.name
  end
end
return removed
"""

#: KEYS: a lease, which is a stream of one entry. ARGV: owner, ms. Takes the lease for so long if it is free, over or
#: the own; so renews it or, with 0 ms, gives it back. Gives 1; 0 if another one has it. A lease is over so many
#: milliseconds after the time in its entry's id.
LEASE: Final = """\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if last and last[2][2] ~= ARGV[1] and string.match(last[1], '%d+') + last[2][4] > now then
  return 0
end
redis.call('XADD', KEYS[1], 'MAXLEN', 1, '*', 'owner', ARGV[1], 'ms', ARGV[2])
return 1
"""

#: KEYS: two sorted sets of the members: by their names (all scores are 0), and by when the time of each is over. ARGV:
#: own name, ms. Says that this member is there, for so long; or, with 0 ms, that it has gone. Forgets those whose time
#: is over. Gives how many there are, and how many of them come before this one by their names. Nothing of it takes
#: longer than O(log n): each member asks in every period.
MEMBER: Final = """\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
end
if ARGV[2] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
else
  redis.call('ZADD', KEYS[1], 0, ARGV[1])
  redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
end
return {redis.call('ZCARD', KEYS[1]), redis.call('ZLEXCOUNT', KEYS[1], '-', '(' .. ARGV[1])}
"""

ALL: Final = (FENCED_ACK, RENEW, DEAD_LETTER, REMOVE_IDLE_CONSUMERS, LEASE, MEMBER)

#: The digests (SHA-1) of the scripts that redis-py's own `Lock` runs, sync and asyncio: the same from 6.4 to 8.1.
LOCK_RELEASE: Final = "c3f8721cbb97f72bc19e972846bd7aaf91901658"
LOCK_EXTEND: Final = "a4e8783852e6b949f9ef3a97212805108459a890"
LOCK_REACQUIRE: Final = "1cac51482acf5858da00f6d685d68f886cd6b6b2"
LOCKS: Final = frozenset({LOCK_RELEASE, LOCK_EXTEND, LOCK_REACQUIRE})


def knows_lock(lock_class: type) -> bool:
    """Tell whether all that a class of redis-py's locks would run (``LUA_…_SCRIPT``) is known here."""
    texts = [
        text
        for name in dir(lock_class)
        if name.startswith("LUA_") and isinstance(text := getattr(lock_class, name), str)
    ]
    return all(hashlib.sha1(text.encode()).hexdigest() in LOCKS for text in texts)
