"""The one error tree of the pack.

::

    AgentPerfError
    ├── ConfigError      (also ValueError)   an argument that cannot mean anything
    ├── MissingExtra     (also ImportError)  an optional dependency is not installed
    ├── TraceFileError   (also ValueError)   a trace file that cannot be read to its end
    ├── CodecError       (also ValueError)   a stored value that is not one of ours
    ├── VectorError      (also ValueError)   a text that has no usable vector (`cache.vectors`)
    ├── ConversationUnavailable (also RuntimeError) its store does not answer
    │                                        (`cache.conversations`)
    ├── RememberedToolError                  a tool failed a moment ago (`cache.toolresults`)
    └── ServerUnavailable (also RuntimeError) a server of the tests cannot start (`bench.servers`)

Every message says the rule, the offending value and the way out, in one sentence. Errors carry
their data as attributes, so that a caller never has to parse a message. Caches, sinks and hooks
raise none of these into a running call: what fails there becomes a `Fault` event.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "AgentPerfError",
    "CodecError",
    "ConfigError",
    "MissingExtra",
    "TraceFileError",
    "require_callable",
    "require_given",
    "require_instance",
    "require_number",
    "require_positive",
]


class AgentPerfError(Exception):
    """Base of every error that the pack raises on purpose."""


class ConfigError(AgentPerfError, ValueError):
    """An argument breaks a rule; the message names the rule, the value and the way out."""


class MissingExtra(AgentPerfError, ImportError):  # noqa: N818 - reads as the sentence it prints
    """An optional dependency is missing.

    Attributes:
        extra: the extra of `agentperf-pack` that installs it.
    """

    def __init__(self, message: str, *, module: str, extra: str) -> None:
        super().__init__(message, name=module)
        self.extra = extra


class TraceFileError(AgentPerfError, ValueError):
    """A trace file broke off or holds something else.

    Attributes:
        path: the file, or `None` for text given directly.
        line: the first line (counted from 1) that could not be read.
        kept: what was readable before that line (a tuple of `Trace`).
    """

    def __init__(
        self, message: str, *, path: Path | None, line: int, kept: tuple[object, ...] = ()
    ) -> None:
        super().__init__(message)
        self.path = path
        self.line = line
        self.kept = kept


class CodecError(AgentPerfError, ValueError):
    """A stored value cannot be decoded: wrong version, unknown kind, or not ours at all."""


def require_instance(kind: type, hint: str, **values: object) -> None:
    """Check that every given argument is of a kind; `None` means "the default" and passes.

    Args:
        kind: the class that is wanted.
        hint: the way out, as the end of the sentence.
        **values: the arguments by name.

    Raises:
        ConfigError: naming the first one that is not.
    """
    require_given(kind, hint, **{name: one for name, one in values.items() if one is not None})


def require_given(kind: type, hint: str, **values: object) -> None:
    """The same for arguments that must be given: `None` does not pass."""
    for name, value in values.items():
        if not isinstance(value, kind):
            msg = f"{name} must be a {kind.__name__}, got {value!r}; {hint}"
            raise ConfigError(msg)


def require_positive(**values: float | None) -> None:
    """Check that every given bound is above zero; `None` means "no bound" and passes.

    Raises:
        ConfigError: naming the first one that is not.
    """
    for name, value in values.items():
        if value is not None and not _is_positive(value):
            msg = f"{name} must be > 0, got {value!r}; leave it out for the default"
            raise ConfigError(msg)


def require_number(
    hint: str, *, least: float = 0, most: float = math.inf, whole: bool = False, **values: object
) -> None:
    """Check that every given value is a number between two bounds; `None` is none.

    Args:
        hint: what to do instead, for the error's last clause.
        least: the smallest that passes.
        most: the largest that passes.
        whole: whether it must be an integer.
        **values: the arguments by name.

    Raises:
        ConfigError: naming the first one that is not.

    Example:
        >>> try:
        ...     require_number("leave it out for 3", whole=True, keep=1.5)
        ... except ConfigError as error:
        ...     print(error)
        keep must be a whole number >= 0, got 1.5; leave it out for 3
    """
    kind = int if whole else (int, float)
    for name, value in values.items():
        if not isinstance(value, kind) or not least <= value <= most:
            what = "a whole number" if whole else "a number"
            bounds = f">= {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
            msg = f"{name} must be {what} {bounds}, got {value!r}; {hint}"
            raise ConfigError(msg)


def require_callable(hint: str, **values: object) -> None:
    """Check that every given value can be called; `None` means "not given" and passes.

    Raises:
        ConfigError: naming the first one that cannot.
    """
    for name, value in values.items():
        if value is not None and not callable(value):
            msg = f"{name} must be a function, got {value!r}; {hint}"
            raise ConfigError(msg)


def _is_positive(value: object) -> bool:
    # Written so that NaN fails, too. Text from an environment variable has no order with numbers.
    return isinstance(value, int | float) and value > 0
