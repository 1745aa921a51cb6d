"""What calls of a runnable share: kept results with a cache, and those in flight without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.flow import Flow, Step
from agentperf_core.toolpolicy import ToolPolicy
from langchain_agentperf._tools.codec import JoinedCodec, MessageCodec
from langchain_agentperf._tools.keeping import Asked, Keeper
from langchain_agentperf._tools.runs import current_run

__all__ = ["Sharing"]


class Sharing:
    """Sends calls through a cache, if there is any use in it.

    Args:
        cache: where results are kept; `None` for nowhere.
        policies: what is declared of the tools.
        version: a tag to change when tools change.
    """

    def __init__(
        self, cache: ToolResultCache | None, policies: Mapping[str, ToolPolicy], *, version: str
    ) -> None:
        kept = cache is not None
        self._keeper = Keeper(
            cache if cache is not None else ToolResultCache(),
            version=version,
            codec=MessageCodec if kept else JoinedCodec,
        )
        self._policies = {
            name: policy if kept else _only_in_flight(policy)
            for name, policy in policies.items()
            if policy.repeatable or (kept and policy.writes)
        }
        self._by_run = any(policy.cache_scope == "run" for policy in self._policies.values())

    def run_id(self) -> str | None:
        """The id of the run that calls, if any policy asks for it: of the graph's, or a new one."""
        return (current_run() or uuid4().hex) if self._by_run else None

    def through(
        self, name: str, asked: Callable[..., Asked], **more: Any
    ) -> Callable[[Step[Any]], Flow[Any]] | None:
        """What a call goes through; `None` for nothing.

        Args:
            name: of the tool.
            asked: reads the call.
            **more: given to it.
        """
        policy = self._policies.get(name)
        if policy is None:
            return None
        return partial(self._keeper.call, partial(asked, policy=policy, **more))


def _only_in_flight(policy: ToolPolicy) -> ToolPolicy:
    """The same tool, of which nothing is kept."""
    return replace(policy, ttl_s=None, stale_ttl_s=None, negative_ttl_s=None, prefetch=False)
