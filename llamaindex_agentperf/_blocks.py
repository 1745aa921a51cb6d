"""Content blocks as they may lie in a store: what they are is in them, and nowhere else.

A block can name a file or an address, which LlamaIndex opens when the block is read. Whoever can
write to a shared store could so read the files of everyone who is served from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from llama_index.core.base.llms.types import ContentBlock

from agentperf_core.errors import CodecError

__all__ = ["OF_ANSWERS", "OF_TOOLS", "block_data", "checked_blocks", "holds_path"]

OF_ANSWERS = frozenset({"audio", "citation", "image", "text", "thinking", "tool_call"})
"""Types of the blocks that models answer with."""

OF_TOOLS = frozenset({"audio", "citable", "citation", "document", "image", "text", "video"})
"""Types of the blocks that tools give."""

_ELSEWHERE = ("path", "url")
_NESTED = {"citable": "content", "citation": "cited_content"}


def block_data(blocks: Iterable[ContentBlock], kinds: frozenset[str]) -> list[dict[str, Any]]:
    """Blocks as plain data.

    Raises:
        CodecError: if one of them could not be read again, see `checked_blocks`.
    """
    return checked_blocks([block.model_dump(mode="json") for block in blocks], kinds)


def checked_blocks(blocks: object, kinds: frozenset[str]) -> list[dict[str, Any]]:
    """The same blocks, if they are of these kinds and hold all that they are.

    Raises:
        CodecError: if they do not.
    """
    if not isinstance(blocks, list):
        msg = f"blocks are a list, got a {type(blocks).__name__}; it is not cached"
        raise CodecError(msg)
    found = cast("list[Any]", blocks)
    for block in found:
        kind = cast("Mapping[str, Any]", block).get("block_type") if _is_dict(block) else None
        if kind not in kinds:
            msg = f"a stored block is one of {sorted(kinds)}, got {kind!r:.40}; it is not cached"
            raise CodecError(msg)
        _check(cast("Mapping[str, Any]", block), kinds)
    return found


def holds_path(block: object) -> bool:
    """Whether a block of plain data, or one inside it, names a file of whoever reads it."""
    if not isinstance(block, dict):
        return False
    fields = cast("Mapping[str, Any]", block)
    url = fields.get("url")
    if fields.get("path") is not None or (isinstance(url, str) and _is_file(url)):
        return True
    inside = fields.get(_NESTED.get(str(fields.get("block_type")), ""))
    return any(map(holds_path, cast("list[Any]", inside) if isinstance(inside, list) else [inside]))


def _is_file(url: str) -> bool:
    return url.partition(":")[0].lower() not in {"data", "gs", "http", "https", "s3"}


def _check(block: Mapping[str, Any], kinds: frozenset[str]) -> None:
    for name in _ELSEWHERE:
        if block.get(name) is not None:
            msg = f"a stored block holds its content, got one with a {name}; it is not cached"
            raise CodecError(msg)
    inside = block.get(_NESTED.get(block["block_type"], ""))
    if inside is not None and not isinstance(inside, str):
        nested = cast("Sequence[Any]", inside if isinstance(inside, list) else [inside])
        checked_blocks(list(nested), kinds | {"document"})


def _is_dict(value: object) -> bool:
    return isinstance(value, dict)
