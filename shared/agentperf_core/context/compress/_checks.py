"""What somebody gave, checked where it comes in: else letters are read as texts, or worse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from agentperf_core.errors import ConfigError, require_number, require_positive

__all__ = [
    "checked_list",
    "checked_text",
    "checked_texts",
    "require_all",
    "require_one",
    "require_tokens",
]

T = TypeVar("T")
_SHOWN = 80  # characters of what was given, in a sentence: it may be megabytes


def checked_text(given: Any, what: str = "a text") -> str:
    """A text.

    Args:
        given: what is one, if all is well.
        what: what it is called in the sentence.

    Raises:
        ConfigError: if it is none.
    """
    if not isinstance(given, str):
        msg = f'{what} is a string, got {_shown(given)}; give "" where there is none'
        raise ConfigError(msg)
    return given


def checked_texts(given: Sequence[str]) -> list[str]:
    """The texts of a list.

    Raises:
        ConfigError: if it is no list, or holds something else.
    """
    return [checked_text(one) for one in checked_list(given, "texts are a list of strings")]


def checked_list(given: Iterable[T], rule: str) -> list[T]:
    """What a list holds.

    Args:
        given: a list or the like, if all is well.
        rule: how the sentence begins that says what it should be.

    Raises:
        ConfigError: if it is a string, whose letters nobody means, a mapping, or no collection.
    """
    several: Any = given
    if isinstance(several, Iterable) and not isinstance(several, str | bytes | Mapping):
        return [*cast("Iterable[T]", several)]
    msg = f"{rule}, got {_shown(given)}; put it in a list: [...]"
    raise ConfigError(msg)


def require_one(kind: type, hint: str, *values: object) -> None:
    """Check that each value is of a kind; unlike an argument with a default, `None` is none.

    Args:
        kind: the class that is wanted.
        hint: the way out, as the end of the sentence.
        *values: what was given.

    Raises:
        ConfigError: for the first one that is not.
    """
    for value in values:
        if not isinstance(value, kind):
            msg = f"a {kind.__name__} is needed here, got {_shown(value)}; {hint}"
            raise ConfigError(msg)


def require_all(kind: type, hint: str, given: Iterable[Any]) -> None:
    """Check that it is a list, and each value in it of a kind.

    Raises:
        ConfigError: if it is no list, or for the first value that is not.
    """
    require_one(kind, hint, *checked_list(given, f"a list of {kind.__name__} is needed here"))


def require_tokens(**values: int | None) -> None:
    """Check that every given count of tokens is a whole number above 0; `None` means none given.

    Raises:
        ConfigError: naming the first one that is not.
    """
    require_positive(**values)
    given = {name: value for name, value in values.items() if value is not None}
    require_number("leave it out for the default", least=1, whole=True, **given)


def _shown(given: object) -> str:
    said = repr(given)
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}..."
