"""The one base of our model wrappers: everything goes to the inner model.

A wrapper is the only seam that sees every model call of an agent. It is a `FunctionCallingLLM`
because agents ask for that, and its methods are not decorated with LlamaIndex's LLM callbacks: the
inner model emits the events, and a second set would count every call twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.llms.loading import load_llm  # pyright: ignore[reportUnknownVariableType] - a bare dict upstream
from pydantic import Field, SerializeAsAny, field_serializer

from agentperf_core.errors import ConfigError
from llamaindex_agentperf._fields import require_fields
from llamaindex_agentperf._identity import is_secret

if TYPE_CHECKING:
    from llama_index.core.tools import BaseTool

__all__ = ["DelegatingLLM"]

# Settings that LlamaIndex reads from, or writes to, the outermost model (`Settings.llm` sets the
# callback manager at every access).
_FORWARDED = (
    "callback_manager",
    "system_prompt",
    "messages_to_prompt",
    "completion_to_prompt",
    "output_parser",
    "pydantic_program_mode",
)


class DelegatingLLM(FunctionCallingLLM):
    """Passes every call to `inner`; subclasses override what they change.

    `structured_predict` runs LlamaIndex's own program over this wrapper, so that subclasses see
    structured calls too; the inner model's override of it is not used.

    Args:
        inner: the model that answers; a mapping as made by `to_dict` is loaded by LlamaIndex's
            `load_llm` (API keys are not in it and come from the environment).

    Raises:
        ConfigError: if `inner` is not a model, or an argument is not a field.
    """

    inner: SerializeAsAny[LLM] = Field(description="The model that answers.")

    def __init__(self, inner: LLM | Mapping[str, Any], **kwargs: Any) -> None:
        model = load_llm(dict(inner)) if isinstance(inner, Mapping) else inner
        if not isinstance(cast("object", model), LLM):
            msg = f"inner must be a LlamaIndex LLM, got {model!r}; pass the model to be wrapped"
            raise ConfigError(msg)
        require_fields(type(self), kwargs, "settings of the model belong to inner")
        settings = {name: getattr(model, name) for name in _FORWARDED}
        super().__init__(inner=model, **{**settings, **kwargs})

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        inner = self.__dict__.get("inner")
        if name in _FORWARDED and inner is not None:
            setattr(inner, name, value)

    @field_serializer("inner")
    def _dump_inner(self, inner: LLM) -> dict[str, Any]:
        dumped = inner.to_dict()
        return {
            name: value
            for name, value in dumped.items()
            if not is_secret(name) and not callable(value)
        }

    @classmethod
    def class_name(cls) -> str:
        """Stable name in serialised form."""
        return "agentperf_delegating_llm"

    @property
    def metadata(self) -> LLMMetadata:
        """The inner model's metadata."""
        return self.inner.metadata

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Like `inner.chat`."""
        return self.inner.chat(messages, **kwargs)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Like `inner.achat`."""
        return await self.inner.achat(messages, **kwargs)

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Like `inner.stream_chat`."""
        return self.inner.stream_chat(messages, **kwargs)

    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """Like `inner.astream_chat`."""
        return await self.inner.astream_chat(messages, **kwargs)

    def complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 - the framework's own signature
        **kwargs: Any,
    ) -> CompletionResponse:
        """Like `inner.complete`."""
        return self.inner.complete(prompt, formatted=formatted, **kwargs)

    async def acomplete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 - the framework's own signature
        **kwargs: Any,
    ) -> CompletionResponse:
        """Like `inner.acomplete`."""
        return await self.inner.acomplete(prompt, formatted=formatted, **kwargs)

    def stream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 - the framework's own signature
        **kwargs: Any,
    ) -> CompletionResponseGen:
        """Like `inner.stream_complete`."""
        return self.inner.stream_complete(prompt, formatted=formatted, **kwargs)

    async def astream_complete(
        self,
        prompt: str,
        formatted: bool = False,  # noqa: FBT001, FBT002 - the framework's own signature
        **kwargs: Any,
    ) -> CompletionResponseAsyncGen:
        """Like `inner.astream_complete`."""
        return await self.inner.astream_complete(prompt, formatted=formatted, **kwargs)

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,  # noqa: FBT001, FBT002 - the framework's own signature
        allow_parallel_tool_calls: bool = False,  # noqa: FBT001, FBT002 - same
        tool_required: bool = False,  # noqa: FBT001, FBT002 - same
        **kwargs: Any,
    ) -> dict[str, Any]:
        inner = self.inner
        if not isinstance(inner, FunctionCallingLLM):
            msg = (
                f"calls with tools need a FunctionCallingLLM, got {inner.class_name()!r}; "
                "wrap a model that can call functions or use a ReActAgent"
            )
            raise ConfigError(msg)
        # A copy, since the OpenAI class appends the user's message to the caller's own list.
        return inner._prepare_chat_with_tools_compat(  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the framework's own hook for wrappers and programs
            tools,
            user_msg=user_msg,
            chat_history=list(chat_history or ()),
            verbose=verbose,
            allow_parallel_tool_calls=allow_parallel_tool_calls,
            tool_required=tool_required,
            **kwargs,
        )

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,  # noqa: FBT001, FBT002 - the framework's own
        **kwargs: Any,
    ) -> ChatResponse:
        if not isinstance(self.inner, FunctionCallingLLM):
            return response
        return self.inner._validate_chat_with_tools_response(  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - as above
            response, tools, allow_parallel_tool_calls=allow_parallel_tool_calls, **kwargs
        )

    def get_tool_calls_from_response(
        self,
        response: ChatResponse,
        error_on_no_tool_call: bool = True,  # noqa: FBT001, FBT002 - the framework's own
        **kwargs: Any,
    ) -> list[ToolSelection]:
        """Like the inner model's; empty for a model that cannot call functions."""
        if not isinstance(self.inner, FunctionCallingLLM):
            return []
        return self.inner.get_tool_calls_from_response(
            response, error_on_no_tool_call=error_on_no_tool_call, **kwargs
        )
