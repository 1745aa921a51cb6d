"""What is known about a LangChain model before it is called."""

from __future__ import annotations

from langchain_core.language_models import BaseChatModel

from agentperf_core.accounting import ModelProfile, ModelRegistry

__all__ = ["model_profile"]


def model_profile(model: BaseChatModel, registry: ModelRegistry | None = None) -> ModelProfile:
    """Context length, price and priors of a model, `None` where nobody knows.

    What the model's own `profile` says is fed into the registry first; your overrides win over it.

    Args:
        model: any chat model.
        registry: where profiles are kept; default a new one.

    Example:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> model_profile(FakeListChatModel(responses=["hi"])).price is None
        True
    """
    registry = registry if registry is not None else ModelRegistry()
    about = model._get_ls_params()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the one place where every integration says its names
    provider = about.get("ls_provider")
    name = about.get("ls_model_name") or type(model).__name__
    if model.profile:
        registry.feed(name, model.profile, provider)
    return registry.get(name, provider)
