"""Optional dependencies: one helper, one sentence."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from agentperf_core.errors import MissingExtra

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["require"]


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
