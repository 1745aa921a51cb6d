"""Optional dependencies: imported when needed, missed in one sentence."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType

from agentperf_core.errors import MissingExtra

__all__ = ["lazy_exports", "require"]


def require(module: str, *, extra: str, purpose: str | None = None) -> ModuleType:
    """Import an optional dependency or say which extra installs it.

    Args:
        module: dotted name of the module.
        extra: the extra of `agentperf-pack` that brings it.
        purpose: what needs it, as the subject of the error's sentence.

    Raises:
        MissingExtra: if the module is not installed, chained from the ImportError.

    Example:
        >>> require("json", extra="tokens").__name__
        'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        msg = (
            f"{purpose or 'this feature'} needs {module.partition('.')[0]!r}: "
            f"pip install 'agentperf-pack[{extra}]'"
        )
        raise MissingExtra(msg, module=module, extra=extra) from error


def lazy_exports(
    package: str, homes: Mapping[str, str], *, needs: str, extra: str
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package root whose names load on first use (PEP 562).

    Users then see `package.Name`, wherever the module lives that defines it.

    Args:
        package: the root's `__name__`.
        homes: public name to the submodule that defines it, relative to the root.
        needs: the framework without which no name can load.
        extra: the extra of `agentperf-pack` that brings it.

    Example:
        >>> getattr_, dir_ = lazy_exports("agentperf_core", {"Clock": "clock"}, needs="json",
        ...                               extra="tokens")
        >>> getattr_("Clock").__name__
        'Clock'
    """

    def load(name: str) -> object:
        home = homes.get(name)
        if home is None:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        require(needs, extra=extra, purpose=f"{package}.{name}")
        try:
            module = importlib.import_module(f"{package}.{home}")
        except ModuleNotFoundError as error:
            # Frameworks come in several packages: one of them may be there without the next.
            require(error.name or needs, extra=extra, purpose=f"{package}.{name}")
            raise
        value: object = getattr(module, name)
        value.__module__ = package
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted(homes)

    return load, names
