"""tiktoken's encodings from files that are already on this machine; never a download.

`tiktoken.get_encoding` fetches its ranks when they are not cached, and is pointed elsewhere only
through the environment, which all threads share. So the encodings are built here from tiktoken's
own definitions, with a reader that looks in two places: tiktoken's cache of this user, and the
copies of cl100k_base and o200k_base that llama-index-core installs (found by path: llama_index is
not imported). Every file is checked against the SHA-256 that tiktoken states.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

from agentperf_core.errors import ConfigError, MissingExtra
from agentperf_core.optional import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiktoken import Encoding

__all__ = ["encoding_for_model", "load_encoding"]

logger = logging.getLogger("agentperf")

_loaded: dict[str, Encoding] = {}
_lock = threading.Lock()


def encoding_for_model(model: str) -> str | None:
    """Name of the encoding of a model by tiktoken's own table, `None` if the table lacks it.

    A provider in front (`"openai/gpt-4o"`) is ignored. `None` without tiktoken, too.

    Example:
        >>> encoding_for_model("azure/gpt-4o-mini"), encoding_for_model("claude-sonnet-4-0")
        ('o200k_base', None)
    """
    try:
        table = require("tiktoken.model", extra="tokens")
    except MissingExtra:
        return None
    for name in (model, model.rpartition("/")[2]):
        try:
            return table.encoding_name_for_model(name)
        except KeyError:
            continue
    return None


def load_encoding(name: str) -> Encoding | None:
    """The encoding of that name in tiktoken, or `None` if this machine lacks it.

    Args:
        name: such as `"o200k_base"`. The first call takes about 0.4 s, later ones are free.

    Raises:
        ConfigError: if tiktoken is installed and has no encoding of that name.
    """
    with _lock:
        if name in _loaded:
            return _loaded[name]
        try:
            encoding = _build(name)
        except (MissingExtra, FileNotFoundError):
            return None
        except ConfigError:
            raise
        except Exception as error:
            # A tiktoken whose definitions look different: estimating beats failing.
            logger.warning(
                "tiktoken's %s could not be built (%s); token counts are estimates",
                name,
                type(error).__name__,
            )
            return None
        _loaded[name] = encoding
        return encoding


def _build(name: str) -> Encoding:
    known = require("tiktoken.registry", extra="tokens").ENCODINGS
    if name in known:
        return known[name]
    definitions = _offline_definitions()
    if name not in definitions["ENCODING_CONSTRUCTORS"]:
        names = sorted(definitions["ENCODING_CONSTRUCTORS"])
        msg = f"an encoding is one of tiktoken's {names}, got {name!r}; or use for_model(...)"
        raise ConfigError(msg)
    return require("tiktoken", extra="tokens").Encoding(**definitions[name]())


def _offline_definitions() -> dict[str, Any]:
    """The definitions in tiktoken, as functions of the same code with our file reader.

    Copies, not patches: tiktoken itself stays as it is for everyone else in the process.
    """
    load = require("tiktoken.load", extra="tokens")
    public = require("tiktoken_ext.openai_public", extra="tokens")
    loaders: dict[str, Any] = {**vars(load), "read_file_cached": _read}
    definitions: dict[str, Any] = dict(vars(public))
    for source, target in (
        (load.load_tiktoken_bpe, loaders),
        (load.data_gym_to_mergeable_bpe_ranks, loaders),
        *((constructor, definitions) for constructor in public.ENCODING_CONSTRUCTORS.values()),
    ):
        copy = FunctionType(source.__code__, target, source.__name__, source.__defaults__)
        definitions[source.__name__] = copy
    return definitions


def _read(url: str, expected_hash: str | None = None) -> bytes:
    # The file name is part of tiktoken's cache format.
    file_name = hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    for folder in _folders():
        path = folder / file_name
        if path.is_file():
            data = path.read_bytes()
            if expected_hash in {None, hashlib.sha256(data).hexdigest()}:
                return data
    raise FileNotFoundError(file_name)


def _folders() -> Iterator[Path]:
    # tiktoken's own order; an empty value means "no cache".
    default = str(Path(tempfile.gettempdir(), "data-gym-cache"))
    own = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR", default))
    if own:
        yield Path(own)
    try:
        package = find_spec("llama_index")
    except ValueError:  # half-loaded: in sys.modules without a spec
        package = None
    for root in (package.submodule_search_locations or ()) if package else ():
        yield Path(root, "core", "_static", "tiktoken_cache")
