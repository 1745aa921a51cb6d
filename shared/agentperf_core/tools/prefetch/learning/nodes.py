"""Where each value is in a recorded event, so that a later argument is found there at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any, cast

from agentperf_core.tools.prefetch.learning.runs import Called
from agentperf_core.tools.prefetch.paths import EACH, Part, Path, canonical
from agentperf_core.tools.prefetch.sources import Source, Taken

__all__ = ["Places", "key_of"]

_MOST_NODES = 2000  # of one result
_MOST_DEPTH = 8
_LONGEST_TEXT = 20_000


class Places:
    """An event of a run, and where in it each value is.

    Args:
        event: a call, or what the user said.
        patterns: what arguments look like, to be found in texts.

    Attributes:
        tool: name of the tool; `None` for what the user said.
        arguments: of the call.
    """

    def __init__(self, event: Called | str, patterns: Collection[str]) -> None:
        self.tool: str | None = None
        self.arguments: Mapping[str, Any] = {}
        self._sources: dict[bytes, dict[Source, None]] = {}
        if isinstance(event, str):
            self._add("message", event, patterns)
            return
        self.tool, self.arguments, result = event
        self._add("result", result, patterns)
        self._add("arguments", self.arguments, patterns)

    def of(self, value: object) -> Collection[Source]:
        """Where a value is."""
        return self._sources.get(key_of(value), {})

    def _add(self, root: str, whole: object, patterns: Collection[str]) -> None:
        for path, value in islice(_nodes(whole, (), _MOST_DEPTH), _MOST_NODES):
            if path or root == "result":
                self._note(value, Taken(root, Path(path)))
            if isinstance(value, str):
                self._search(root, path, value[:_LONGEST_TEXT], patterns)

    def _search(
        self, root: str, path: tuple[Part, ...], text: str, patterns: Collection[str]
    ) -> None:
        for pattern in patterns:
            matches = dict.fromkeys(match[0] for match in re.finditer(pattern, text))
            for found in matches:
                if found != text or root == "message":
                    self._note(found, Taken(root, Path(path), pattern))

    def _note(self, value: object, source: Source) -> None:
        self._sources.setdefault(key_of(value), {})[source] = None


def key_of(value: object) -> bytes:
    """The same for equal values of one type."""
    return canonical(value)


def _nodes(
    value: object, path: tuple[Part, ...], depth: int
) -> Iterator[tuple[tuple[Part, ...], object]]:
    """All values inside a value that may be an argument, each under every path to it."""
    if value is None or value == "" or isinstance(value, bool):
        return
    yield path, value
    if depth == 0:
        return
    if isinstance(value, list):
        for one in cast("list[object]", value):
            yield from _nodes(one, (*path, EACH), depth - 1)
    elif isinstance(value, Mapping):
        inside = cast("Mapping[str, object]", value)
        for key, one in inside.items():
            yield from _nodes(one, (*path, key), depth - 1)
        if inside and all(isinstance(one, Mapping) for one in inside.values()):
            # Its keys may be data, such as the ids of what is in it.
            for one in inside.values():
                yield from _nodes(one, (*path, EACH), depth - 1)
