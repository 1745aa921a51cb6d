"""Where an argument of a call comes from, before anybody asks for the call.

`result.reservations[]` is a part of an earlier result, `arguments.origin` of its arguments, and
`message` is what the user said; `message/[A-Z]{3}/` is every match of a pattern in it. Anything
else is a constant, as JSON: `10`, `"km"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from json import JSONDecodeError, JSONDecoder
from typing import Any, TypeAlias

import orjson

from agentperf_core.errors import ConfigError
from agentperf_core.tools.prefetch.paths import Part, Path, canonical

__all__ = ["ROOTS", "Constant", "Part", "Seen", "Source", "Taken", "read_source"]

Seen: TypeAlias = Mapping[str, Any]
"""What a rule may look at: values by root."""
Key: TypeAlias = tuple[Part, ...]

ROOTS = ("result", "arguments", "message")
_TAKEN = re.compile(
    r'(?P<root>result|arguments|message)(?P<path>(?:\.[\w-]+|\[\d*\]|\["(?:[^"\\]|\\.)*"\])*)'
    r"(?:/(?P<pattern>(?:[^/\\]|\\.)+)/)?",
    re.DOTALL,
)
_SLASH = re.compile(r"\\.|/", re.DOTALL)
_JSON = JSONDecoder()


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that is always the same.

    Attributes:
        value: plain JSON data.

    Raises:
        ConfigError: if it is something else.
    """

    value: Any

    def __post_init__(self) -> None:
        try:
            canonical(self.value)
        except TypeError as error:
            msg = f"a constant is plain JSON data, got {self.value!r}; give a plain value"
            raise ConfigError(msg) from error

    @property
    def lists(self) -> tuple[Key, ...]:
        """A constant is not taken from any list."""
        return ()

    def __str__(self) -> str:
        return orjson.dumps(self.value).decode()

    def find(self, seen: Seen) -> Iterator[tuple[Mapping[Key, int | str], Any]]:
        """The value."""
        del seen
        yield {}, self.value


@dataclass(frozen=True, slots=True)
class Taken:
    """A value taken from something that was seen before.

    Attributes:
        root: `"result"` or `"arguments"` of the earlier call, or `"message"`.
        path: where in it.
        pattern: what to look for in the text there; `None` for the value itself.

    Raises:
        ConfigError: if there is no such root, or the pattern is no regular expression.
    """

    root: str
    path: Path = field(default_factory=Path)
    pattern: str | None = None
    _regex: re.Pattern[str] | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.root not in ROOTS:
            msg = f"a value is taken from one of {ROOTS!r}, got {self.root!r}; name one of them"
            raise ConfigError(msg)
        if self.pattern is None:
            return
        if not self.pattern:
            msg = f"a pattern finds something, got {self.pattern!r}; leave it out for the whole"
            raise ConfigError(msg)
        try:
            regex = re.compile(self.pattern)
        except re.error as error:
            msg = f"a pattern is a regular expression, got {self.pattern!r} ({error}); mend it"
            raise ConfigError(msg) from error
        object.__setattr__(self, "pattern", _SLASH.sub(_escaped, self.pattern))
        object.__setattr__(self, "_regex", regex)

    @property
    def lists(self) -> tuple[Key, ...]:
        """The lists that it is taken from: two sources of one list mean the same element."""
        parts = self.path.parts
        return tuple((self.root, *parts[: at + 1]) for at, p in enumerate(parts) if p is None)

    def __str__(self) -> str:
        path = str(self.path)
        dot = "." if path and not path.startswith("[") else ""
        return f"{self.root}{dot}{path}" + (f"/{self.pattern}/" if self.pattern else "")

    def find(self, seen: Seen) -> Iterator[tuple[Mapping[Key, int | str], Any]]:
        """The values, with the places in the lists that they come from."""
        if self.root not in seen:
            return
        for place, value in self.path.find(seen[self.root]):
            at = {(self.root, *key): index for key, index in place.items()}
            if self._regex is None:
                yield at, value
            elif isinstance(value, str):
                for match in self._regex.finditer(value):
                    yield at, match[0]


Source: TypeAlias = Constant | Taken


def read_source(text: str, at: int = 0) -> tuple[Source, int]:
    """The source that begins somewhere in a text, and where it ends.

    Raises:
        ConfigError: if there is none.

    Example:
        >>> read_source("result.orders[].id")[0]
        Taken(root='result', path=Path(parts=('orders', None, 'id')), pattern=None)
        >>> read_source("10")[0]
        Constant(value=10)
    """
    match = _TAKEN.match(text, at)
    if match is not None:
        path = match["path"].removeprefix(".")
        return Taken(match["root"], Path.parse(path), match["pattern"]), match.end()
    try:
        value, end = _JSON.raw_decode(text, at)
    except JSONDecodeError as error:
        msg = (
            f"an argument comes from {', '.join(ROOTS)} (such as result.orders[].id) or is a "
            f"constant as JSON, got {text[at:]!r}; write one of these"
        )
        raise ConfigError(msg) from error
    return Constant(value), end


def _escaped(match: re.Match[str]) -> str:
    return r"\/" if match[0] == "/" else match[0]
