"""Results of tools as plain JSON data for the cache, and as messages again.

Own code instead of `langchain_core.load`: a store may be shared, and `loads` builds any class of
the ecosystem that the stored text names. Here it becomes a `ToolMessage`, or what JSON holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from langchain_core.messages import ToolMessage

from agentperf_core.cache.codec import comes_back
from agentperf_core.cache.toolresults.cache import ToolDecision
from agentperf_core.errors import CodecError
from langchain_agentperf._answers import MARK, checked_content
from langchain_agentperf._tools.marks import marked
from langchain_agentperf._tools.results import passes

__all__ = ["JoinedCodec", "MessageCodec"]


class MessageCodec:
    """Codec of one call: of its message, or of the plain value that a call without an id gives.

    Args:
        call_id: id of the call, which its message carries; `None` without one.

    Attributes:
        served: what the cache decided, if the result is not the tool's own.
    """

    def __init__(self, call_id: str | None) -> None:
        self._call_id = call_id
        self.served: ToolDecision | None = None

    def failed(self, result: Any) -> bool:
        """Whether the tool says that it failed."""
        return isinstance(result, ToolMessage) and result.status == "error"

    def error(self, error: Exception) -> str | None:
        """The text of an error; `None` for what steers the graph."""
        return None if passes(error) else str(error)

    def encode(self, result: Any) -> Mapping[str, Any]:
        """Content, artefact and status; or the plain value.

        Raises:
            CodecError: if there is anything else to it, such as a command to the graph.
        """
        if not isinstance(result, ToolMessage):
            return {"value": _plain(result, "a result")}
        body: dict[str, Any] = {
            "content": checked_content(result.content),
            "artifact": _plain(result.artifact, "an artifact"),
            "status": result.status,
            "name": result.name,
            "additional_kwargs": _plain(_others(result.additional_kwargs), "kwargs"),
            "response_metadata": _plain(_others(result.response_metadata), "metadata"),
        }
        return {key: value for key, value in body.items() if value is not None}

    def decode(self, body: Mapping[str, Any], decision: ToolDecision) -> Any:
        """A fresh message for this call, marked with the decision; or the plain value.

        Raises:
            CodecError: if the stored fields are not those of a tool message.
        """
        self.served = decision
        if "content" not in body:
            return body["value"]
        try:
            message = ToolMessage(
                content=checked_content(body["content"]),
                artifact=body.get("artifact"),
                status=body.get("status", "success"),
                name=body.get("name"),
                tool_call_id=self._call_id or "",
                additional_kwargs=body.get("additional_kwargs", {}),
                response_metadata=body.get("response_metadata", {}),
            )
        except (TypeError, ValueError) as error:
            msg = f"a stored result must be that of a tool, got {list(body)!r}; clear the cache"
            raise CodecError(msg) from error
        return self.mark(message, decision)

    def mark(self, result: Any, decision: ToolDecision) -> Any:
        """A marked copy of the message; the tool's own, and a plain value, stay as they are."""
        if not isinstance(result, ToolMessage):
            return result
        return marked(result, cache=decision.record())


class JoinedCodec(MessageCodec):
    """For equal calls of one message: a cache further in has marked what the tool said."""

    def mark(self, result: Any, decision: ToolDecision) -> Any:
        """Marks only what is shared; how long it is good, the tool's own message beside it says."""
        return (
            super().mark(result, replace(decision, expires_at=None)) if decision.served else result
        )


def _others(fields: Any) -> dict[str, Any] | None:
    """The entries of other people, `None` without any."""
    known = cast("Mapping[str, Any]", fields)
    return {key: value for key, value in known.items() if key != MARK} or None


def _plain(value: Any, what: str) -> Any:
    if value is None or comes_back(value):
        return value
    msg = f"{what} must be plain JSON data to be kept, got a {type(value).__name__}"
    raise CodecError(msg)
