"""What the Redis store keeps where: keys, values with their tags, and the commands of each step.

===============  =====================================================================
`ns:e:KEY`       an entry: a byte for the version, one for the number of tags, 8 bytes
                 per tag (its digest), then the value; with a vector beside it, a hash that
                 has these bytes as `p`, see `vectors.redis`
`ns:t:TAG`       the keys with a tag, as a sorted set by the time when each ends
`ns:l:KEY`       who leads for a key
`ns:n:CHANNEL`   the last news of a channel, as a stream
===============  =====================================================================

Every command and script touches one key, so they work on a cluster whatever slots the keys fall in.
An entry says itself which tags it has: one that was set again without a tag is not forgotten with
it, though the tag's set may still list its key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from agentperf_core.errors import CodecError, ConfigError

__all__ = ["Command", "Layout", "framed", "milliseconds", "unframed"]

Command: TypeAlias = "tuple[str | bytes | int, ...]"

_VERSION = 0xA1
_DIGEST = 8
_MOST_TAGS = 255
_MOST_NEWS = 5000
_NEWS_S = 7 * 24 * 3600
_LONGEST_MS = 10**15  # 30 000 years; the sum with the time must fit into what Redis counts with

# The set ends with its longest-lived entry. PEXPIREAT GT would say so too, from Redis 7 on.
_ADD_TAG = """\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local ends = '+inf'
if ARGV[2] ~= '' then ends = string.format('%.0f', now + ARGV[2]) end
redis.call('ZADD', KEYS[1], ends, ARGV[1])
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if last == 'inf' then redis.call('PERSIST', KEYS[1]) else
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', last)) end
return 1"""

_DELETE_IF_TAGGED = f"""\
local head = redis.pcall('GETRANGE', KEYS[1], 0, {1 + _DIGEST * _MOST_TAGS})
if type(head) ~= 'string' then head = redis.pcall('HGET', KEYS[1], 'p') end
if type(head) ~= 'string' or string.byte(head, 1) ~= {_VERSION} then return 0 end
for number = 1, string.byte(head, 2) or 0 do
  local start = 3 + (number - 1) * {_DIGEST}
  if string.sub(head, start, start + {_DIGEST - 1}) == ARGV[1] then
    return redis.call('UNLINK', KEYS[1])
  end
end
return 0"""

_EXTEND_IF_EQUAL = """\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])"""

_DELETE_IF_EQUAL = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)


class Layout:
    """The keys of one namespace, and the commands on them.

    Raises:
        ConfigError: if the namespace holds a character that means something in a pattern, to a
            cluster, or to this layout.
    """

    def __init__(self, namespace: str) -> None:
        if re.fullmatch(r"[\w.-]+", namespace) is None:
            msg = f"a namespace is letters, digits and any of _ . -, got {namespace!r}; rename it"
            raise ConfigError(msg)
        self.namespace = namespace
        self._entry = f"{namespace}:e:".encode()
        self._tag = f"{namespace}:t:".encode()
        self._lease = f"{namespace}:l:".encode()
        self._news = f"{namespace}:n:".encode()

    def name(self, key: str) -> bytes:
        """What an entry is called in Redis."""
        return self._entry + _bytes(key)

    def get(self, key: str) -> Command:
        """The framed value of a key."""
        return ("GET", self.name(key))

    def get_beside(self, key: str) -> Command:
        """The framed value of a key that also has a vector."""
        return ("HGET", self.name(key), "p")

    def set(self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str]) -> Command:
        """Keep a value; without time left, forget what there was."""
        if ttl_s is not None and ttl_s <= 0:
            return self.delete(key)
        command: Command = ("SET", self.name(key), framed(value, tags))
        return command if ttl_s is None else (*command, "PX", milliseconds(ttl_s))

    def tag(self, key: str, ttl_s: float | None, tags: Sequence[str]) -> list[Command]:
        """Enter a key under its tags: to be done before `set`, so that no tag is ever missing."""
        if ttl_s is not None and ttl_s <= 0:
            return []
        left = "" if ttl_s is None else milliseconds(ttl_s)
        return [
            ("EVAL", _ADD_TAG, 1, self._tag + _bytes(tag), _bytes(key), left)
            for tag in dict.fromkeys(tags)
        ]

    def delete(self, key: str) -> Command:
        """Forget a key; the answer is 1 if it was there."""
        return ("UNLINK", self.name(key))

    def tagged(self, tag: str, count: int) -> Command:
        """Up to `count` keys that were entered under a tag."""
        return ("ZRANGE", self._tag + _bytes(tag), 0, count - 1)

    def untag(self, tag: str, keys: Iterable[bytes]) -> list[Command]:
        """Forget the entries among `keys` that have the tag: 1 or 0 for each; last, the listing."""
        listed, digest = list(keys), _digest(tag)
        commands: list[Command] = [
            ("EVAL", _DELETE_IF_TAGGED, 1, self._entry + key, digest) for key in listed
        ]
        return [*commands, ("ZREM", self._tag + _bytes(tag), *listed)]

    def lead(self, key: str, holder: str, ttl_s: float) -> Command:
        """Take the lease of a key, if nobody has it."""
        return ("SET", self._lease + _bytes(key), _bytes(holder), "NX", "PX", milliseconds(ttl_s))

    def keep_leading(self, key: str, holder: str, ttl_s: float) -> Command:
        """Let the lease go on, if it is still the holder's; the answer is 1 if it is."""
        name = self._lease + _bytes(key)
        return ("EVAL", _EXTEND_IF_EQUAL, 1, name, _bytes(holder), milliseconds(ttl_s))

    def stop_leading(self, key: str, holder: str) -> Command:
        """Give the lease back, if it is still the holder's."""
        return ("EVAL", _DELETE_IF_EQUAL, 1, self._lease + _bytes(key), _bytes(holder))

    def announce(self, channel: str, text: str) -> list[Command]:
        """Add to the news of a channel: the first answer is their place."""
        name = self._news + _bytes(channel)
        adding: Command = ("XADD", name, "MAXLEN", "~", _MOST_NEWS, "*", "t", _bytes(text))
        return [adding, ("EXPIRE", name, _NEWS_S)]

    def news(self, channel: str, since: bytes) -> Command:
        """The news of a channel, those at the place `since` and all after them."""
        return ("XRANGE", self._news + _bytes(channel), since, "+")

    def entries(self, prefix: str) -> bytes:
        """The pattern of the entries whose key starts with `prefix`."""
        return self._entry + re.sub(rb"([*?\[\]\\^])", rb"\\\1", _bytes(prefix)) + b"*"

    def everything(self) -> bytes:
        """The pattern of all that `clear` forgets: entries, tags and news, not leases."""
        return f"{self.namespace}:[etn]:*".encode()

    def unlink(self, names: Iterable[bytes]) -> list[Command]:
        """Forget keys of Redis, each by itself: they may live on different nodes."""
        return [("UNLINK", name) for name in names]

    def is_entry(self, name: bytes) -> bool:
        """Whether a key of Redis is that of an entry."""
        return name.startswith(self._entry)

    def key_of(self, name: bytes) -> str:
        """The key that an entry was stored under."""
        return name[len(self._entry) :].decode("utf-8", "surrogatepass")


def framed(value: bytes, tags: Sequence[str]) -> bytes:
    """A value with the digests of its tags in front.

    Raises:
        ConfigError: for more tags than a byte can count.

    Example:
        >>> unframed(framed(b"value", ["order:7", "customer:1"]))
        b'value'
    """
    if not tags:
        return bytes((_VERSION, 0)) + value
    digests = {_digest(tag) for tag in tags}
    if len(digests) > _MOST_TAGS:
        msg = f"an entry has at most {_MOST_TAGS} tags, got {len(digests)!r}; give it fewer"
        raise ConfigError(msg)
    return b"".join((bytes((_VERSION, len(digests))), *sorted(digests), value))


def unframed(raw: bytes) -> bytes:
    """The value alone.

    Raises:
        CodecError: if this is not what `framed` makes.
    """
    if len(raw) < 2 or raw[0] != _VERSION:
        msg = f"a Redis entry starts with {_VERSION:#x}, got {raw[:1]!r}; clear the namespace"
        raise CodecError(msg)
    return raw[2 + _DIGEST * raw[1] :]


def milliseconds(ttl_s: float) -> int:
    """A time to live as Redis takes it.

    Example:
        >>> milliseconds(1.5), milliseconds(1e-9)
        (1500, 1)
    """
    # At least one: Redis takes no zero.
    return max(1, int(min(ttl_s * 1000, _LONGEST_MS)))


def _bytes(text: str) -> bytes:
    # Any text is a key, a lone surrogate out of a broken decoder too.
    return text.encode("utf-8", "surrogatepass")


def _digest(tag: str) -> bytes:
    return hashlib.blake2b(_bytes(tag), digest_size=_DIGEST).digest()
