"""A chat model around another one, which reads and is traced like the one inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import BaseMessage
from pydantic import Field

__all__ = ["ChatModelWrapper", "around"]


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
        """The inner model's count. From `BaseLanguageModel`."""
        return self.inner.get_num_tokens_from_messages(messages, tools)

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
