"""How outputs of LlamaIndex tools become plain data for the cache, and outputs again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.tools import ToolOutput

from agentperf_core.cache.codec import comes_back
from agentperf_core.cache.toolresults.cache import ToolDecision
from agentperf_core.errors import CodecError
from llamaindex_agentperf._blocks import OF_TOOLS, block_data, checked_blocks
from llamaindex_agentperf._marks import marked_blocks, remember_in_run
from llamaindex_agentperf.events import announce_hit

__all__ = ["OutputCodec", "steers"]


def steers(error: BaseException) -> bool:
    """Whether an exception is no failure but makes a workflow wait for an event.

    Told by its name: the class is private, and older versions of workflows have none.
    """
    return type(error).__name__ == "WaitingForEvent"


class OutputCodec:
    """Codec of `ToolOutput` for one call.

    Args:
        raw_input: what this call was given, for outputs that are served.
        keep_raw: whether an output is kept only if its `raw_output` is plain data; else it is kept
            without, and the content takes its place.
    """

    def __init__(self, raw_input: dict[str, Any], *, keep_raw: bool) -> None:
        self._raw_input = raw_input
        self._keep_raw = keep_raw

    def failed(self, result: ToolOutput) -> bool:
        """Whether the tool says that it failed."""
        return result.is_error

    def error(self, error: Exception) -> str | None:
        """The text that agents show to the model; `None` for what steers a workflow."""
        return None if steers(error) else str(error)

    def encode(self, result: ToolOutput) -> Mapping[str, Any]:
        """Blocks, raw output and status.

        Raises:
            CodecError: if the raw output is not plain data and has to be.
        """
        body: dict[str, Any] = {
            "tool": result.tool_name,
            "blocks": block_data(result.blocks, OF_TOOLS),
            "is_error": result.is_error,
        }
        raw: object = result.raw_output
        if comes_back(raw):
            body["raw"] = raw
        elif self._keep_raw:
            msg = f"raw_output must be plain JSON data to be kept, got {type(raw).__name__}; "
            msg += "return plain data or give keep_raw=False"
            raise CodecError(msg)
        return body

    def decode(self, body: Mapping[str, Any], decision: ToolDecision) -> ToolOutput:
        """A fresh output for this call; also tells the instrumentation that it was served."""
        blocks: Any = checked_blocks(body["blocks"], OF_TOOLS)
        output = ToolOutput(
            tool_name=body["tool"],
            blocks=blocks,
            raw_input=self._raw_input,
            is_error=body["is_error"],
        )
        output.raw_output = body.get("raw", output.content)
        announce_hit(decision.record(), of="tool")
        return self.mark(output, decision)

    def mark(self, result: ToolOutput, decision: ToolDecision) -> ToolOutput:
        """The output with what limits its use; the tool's own stays as it is."""
        mark = decision.mark
        if mark is None:
            return result
        remember_in_run(mark)
        return result.model_copy(update={"blocks": marked_blocks(result.blocks, mark)})
