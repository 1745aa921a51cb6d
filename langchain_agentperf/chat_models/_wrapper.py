"""A chat model around another one, which reads and is traced like the one inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import BaseMessage
from pydantic import Field

from agentperf_core.accounting import TokenCounter
from langchain_agentperf._definitions import tool_definitions
from langchain_agentperf._messages import to_core
from langchain_agentperf.profiles import model_profile

__all__ = ["ChatModelWrapper", "around"]

_WITHOUT_TOOLS = frozenset({"langchain_core", "langchain_openai"})  # whose models count without


class ChatModelWrapper(BaseChatModel):
    """What every wrapper hands on to its model.

    Attributes:
        inner: the model.
    """

    inner: BaseChatModel = Field(repr=False)

    def __getattr__(self, name: str) -> Any:
        # What integrations and agents read of a model: its name, temperature, and so on.
        try:
            return cast("Any", super()).__getattr__(name)  # pydantic's own, for private attributes
        except AttributeError:
            if name.startswith("_") or "inner" not in self.__dict__:
                raise
            return getattr(self.inner, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"

    def get_token_ids(self, text: str) -> list[int]:
        """The inner model's tokens. From `BaseLanguageModel`."""
        return self.inner.get_token_ids(text)

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Tokens of a prompt, its tools among them. From `BaseLanguageModel`.

        An integration that counts in a way of its own, or asks its provider, is asked. LangChain's
        and OpenAI's leave tools out, and want a tokenizer from a hub.
        """
        theirs = type(self.inner).get_num_tokens_from_messages.__module__.partition(".")[0]
        if theirs not in _WITHOUT_TOOLS or self.inner.custom_get_token_ids is not None:
            return self.inner.get_num_tokens_from_messages(messages, tools)
        counter = TokenCounter.for_model(model_profile(self.inner).name)
        return counter.count_messages(map(to_core, messages), tools=tool_definitions(tools or ()))

    @property
    def _llm_type(self) -> str:
        return self.inner._llm_type  # noqa: SLF001 - the framework's own hook

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return self.inner._identifying_params  # noqa: SLF001 - the framework's own hook

    def _resolve_model_profile(self) -> ModelProfile | None:
        return self.inner.profile

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self.inner._get_ls_params(stop=stop, **kwargs)  # noqa: SLF001 - the framework's own hook

    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        return self.inner._get_invocation_params(stop=stop, **kwargs)  # noqa: SLF001 - the framework's own hook

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None], /) -> dict[str, Any]:
        return self.inner._combine_llm_outputs(llm_outputs)  # noqa: SLF001 - the framework's own hook

    # Whether to stream is the inner model's to say: it may be told not to, or not be able to.
    def _should_stream(self, **kwargs: Any) -> bool:
        return self.inner._should_stream(**kwargs)  # noqa: SLF001 - the framework's own hook

    def _should_use_protocol_streaming(self, **kwargs: Any) -> bool:
        return self.inner._should_use_protocol_streaming(**kwargs)  # noqa: SLF001 - the framework's own hook


def around(inner: BaseChatModel) -> dict[str, Any]:
    """The fields of a wrapper whose run stands in the place of the model's own."""
    return {
        "inner": inner,
        "callbacks": inner.callbacks,
        "metadata": inner.metadata,
        "output_version": inner.output_version,
        "tags": inner.tags,
        "verbose": inner.verbose,
    }
