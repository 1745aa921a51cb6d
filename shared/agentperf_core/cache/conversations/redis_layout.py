"""What conversations are in Redis: two lists each, and the commands on them.

==================  ==================================================================
`ns:c:{cNAME}:a`    the active messages of a conversation, oldest first
`ns:c:{cNAME}:z`    its archived messages, by their ids
==================  ==================================================================

A message is 16 digits (its id), 16 characters (its batch) and the value. What changes both lists is
a script, so that it is done as a whole and in one round trip; the braces keep the two on one node
of a cluster. No `clear` of a cache touches these keys.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agentperf_core.cache.conversations.base import BATCH_ID, Batch, Kept, State
from agentperf_core.cache.stores.redis_layout import Command, Layout, milliseconds

__all__ = ["ConversationLayout", "kept_of"]

_ID = 16
_HEAD = _ID + BATCH_ID

_COMMON = """\
local function id_of(raw) return raw and tonumber(string.sub(raw, 1, 16)) or 0 end
local function renew(ttl)
  for at = 1, 2 do
    if ttl == '' then redis.call('PERSIST', KEYS[at]) else redis.call('PEXPIRE', KEYS[at], ttl) end
  end
end
"""

# How: append, again, replace; list; time to live; batch; values. A first try looks for its batch
# too, among the last few: if the server was held up, it may come in after the second one.
_WRITE = (
    _COMMON
    + """\
local last = math.max(id_of(redis.call('LINDEX', KEYS[1], -1)),
  id_of(redis.call('LINDEX', KEYS[2], -1)))
local since = {append = -8, again = 0}
if ARGV[1] == 'replace' then
  redis.call('DEL', KEYS[1], KEYS[2])
else
  local first
  for at = 1, 2 do
    for _, raw in ipairs(redis.call('LRANGE', KEYS[at], since[ARGV[1]], -1)) do
      if string.sub(raw, 17, 32) == ARGV[4] and (not first or id_of(raw) < first) then
        first = id_of(raw)
      end
    end
  end
  if first then return string.format('%.0f', first) end
end
local time = redis.call('TIME')
local first = math.max(time[1] * 1000000 + time[2], last + 1)
for at = 5, #ARGV do
  local head = string.format('%016.0f', first + at - 5) .. ARGV[4]
  redis.call('RPUSH', KEYS[tonumber(ARGV[2])], head .. ARGV[at])
end
renew(ARGV[3])
return string.format('%.0f', first)"""
)

# Archived messages that are later than these were not archived from here: they stay behind them.
_ARCHIVE = (
    _COMMON
    + """\
local moved = redis.call('LPOP', KEYS[1], ARGV[1])
if not moved then return {} end
local all = {}
for _, raw in ipairs(moved) do all[#all + 1] = raw end
while id_of(redis.call('LINDEX', KEYS[2], -1)) > id_of(moved[1]) do
  all[#all + 1] = redis.call('RPOP', KEYS[2])
end
table.sort(all, function(one, other) return id_of(one) < id_of(other) end)
for _, raw in ipairs(all) do redis.call('RPUSH', KEYS[2], raw) end
renew(ARGV[2])
return moved"""
)

_REMOVE = (
    _COMMON
    + """\
for at = 1, 2 do
  for _, raw in ipairs(redis.call('LRANGE', KEYS[at], 0, -1)) do
    if id_of(raw) == tonumber(ARGV[1]) then
      redis.call('LREM', KEYS[at], 1, raw)
      return {at, raw}
    end
  end
end
return {}"""
)

_READ = "return {redis.call('LRANGE', KEYS[1], 0, -1), redis.call('LRANGE', KEYS[2], 0, -1)}"
_COUNT = "return redis.call('LLEN', KEYS[1]) + redis.call('LLEN', KEYS[2])"
_FORGET = """\
local gone = 0
for at = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  gone = gone + redis.call('LLEN', KEYS[at])
  redis.call('UNLINK', KEYS[at])
end
return gone"""


class ConversationLayout:
    """The keys of one namespace, and the commands on them.

    Args:
        namespace: what the keys begin with.
        ttl_s: seconds that a conversation is kept after the last write.

    Raises:
        ConfigError: for a namespace that `RedisStore` would refuse.
    """

    def __init__(self, namespace: str, ttl_s: float | None) -> None:
        self.namespace = Layout(namespace).namespace
        self._prefix = f"{namespace}:c:{{c".encode()
        self._ttl: str | int = "" if ttl_s is None else milliseconds(ttl_s)

    def write(self, how: str, name: str, batch: Batch) -> Command:
        """Add messages: `append`, `again` or `replace`; the answer is the id of the first."""
        where = 1 if batch.state == "active" else 2
        rest = (how, where, self._ttl, batch.id, *batch.values)
        return ("EVAL", _WRITE, 2, *self._keys(name), *rest)

    def read(self, name: str) -> Command:
        """Both lists."""
        return ("EVAL", _READ, 2, *self._keys(name))

    def read_state(self, name: str, state: State, limit: int | None, offset: int) -> Command:
        """A part of one list; not for a limit of none."""
        start = max(offset, 0)
        return ("LRANGE", self._key(name, state), start, -1 if limit is None else start + limit - 1)

    def count(self, name: str, state: State | None) -> Command:
        """How many messages there are."""
        if state is not None:
            return ("LLEN", self._key(name, state))
        return ("EVAL", _COUNT, 2, *self._keys(name))

    def archive(self, name: str, count: int) -> Command:
        """Move the first active messages; the answer is what was moved."""
        return ("EVAL", _ARCHIVE, 2, *self._keys(name), count, self._ttl)

    def take(self, name: str, count: int) -> Command:
        """Forget the first active messages; the answer is what was forgotten, or nothing."""
        return ("LPOP", self._key(name, "active"), count)

    def remove(self, name: str, ident: int) -> Command:
        """Forget one message; the answer is its list and itself, or nothing."""
        return ("EVAL", _REMOVE, 2, *self._keys(name), ident)

    def forget(self, name: str, state: State | None) -> Command:
        """Forget lists; the answer is how many messages they had."""
        first, last = {"active": (1, 1), "archived": (2, 2), None: (1, 2)}[state]
        return ("EVAL", _FORGET, 2, *self._keys(name), first, last)

    def pattern(self, prefix: str) -> bytes:
        """The pattern of the lists of conversations whose name starts with `prefix`."""
        raw = prefix.encode("utf-8", "surrogatepass")
        return self._prefix + re.sub(rb"([*?\[\]\\^])", rb"\\\1", raw) + b"*"

    def name_of(self, key: bytes) -> str:
        """The name of the conversation that a list is of."""
        return key[len(self._prefix) : -len(b"}:a")].decode("utf-8", "surrogatepass")

    def _keys(self, name: str) -> tuple[bytes, bytes]:
        return self._key(name, "active"), self._key(name, "archived")

    def _key(self, name: str, state: State) -> bytes:
        end = b"}:a" if state == "active" else b"}:z"
        return self._prefix + name.encode("utf-8", "surrogatepass") + end


def kept_of(rows: Sequence[bytes] | None, state: State) -> list[Kept]:
    """What a list holds; what in it is not ours is empty, and no message for any reader."""
    return [_kept(row, state) for row in rows or ()]


def _kept(row: bytes, state: State) -> Kept:
    try:
        return Kept(int(row[:_ID]), state, row[_HEAD:], row[_ID:_HEAD].decode())
    except ValueError:
        return Kept(0, state, b"", "")
