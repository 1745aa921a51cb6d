"""What the caches behind LangChain's own interface have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson
from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.outputs import Generation

from agentperf_core.cache import CacheRequest, MessageParts, check_tenant, text_key
from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.cache.requests.build import build_request
from agentperf_core.flow import Flow, arun, run
from langchain_agentperf._convert import parts_of_fields
from langchain_agentperf._tools.marks import inherited_by_fields

__all__ = ["ModelCache", "read_prompt"]


class ModelCache(BaseCache):
    """A `BaseCache` over a core cache; made by its subclasses.

    Args:
        core: the core cache.
        tenant: whose answers these are.
        version: a tag to change when prompts or data behind the answers change.
    """

    def __init__(self, core: CoreCache, *, tenant: str | None, version: str) -> None:
        check_tenant(tenant, asks="a function", hint="give its str()")
        self._core = core
        self._tenant = tenant
        self._version = version

    @property
    def core_cache(self) -> CoreCache:
        """The core cache in use: `stats()`, `invalidate(tag)`."""
        return self._core

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The stored generations as a new list, or `None`. From `BaseCache`."""
        return run(self._lookup(self._request(prompt, llm_string)))

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """Like `lookup`. From `BaseCache`."""
        return await arun(self._lookup(self._request(prompt, llm_string)))

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Store generations if the policy takes them. From `BaseCache`."""
        run(self._update(self._request(prompt, llm_string), return_val))

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Like `update`. From `BaseCache`."""
        await arun(self._update(self._request(prompt, llm_string), return_val))

    def clear(self, **_: Any) -> None:
        """Forget everything in the store. From `BaseCache`.

        Raises:
            Exception: whatever the store raises; whoever clears wants to know that it failed.
        """
        run(self._core.clear())

    async def aclear(self, **_: Any) -> None:
        """Like `clear`. From `BaseCache`."""
        await arun(self._core.clear())

    @abstractmethod
    def _lookup(self, request: CacheRequest) -> Flow[list[Generation] | None]:
        """What is stored for a request."""

    @abstractmethod
    def _update(self, request: CacheRequest, answer: Sequence[Generation]) -> Flow[None]:
        """Keep what a model answered."""

    def _request(self, prompt: str, llm_string: str) -> CacheRequest:
        messages, (expires_at, tags) = read_prompt(prompt)
        request = build_request(
            policy=self._core.policy,
            model={"llm": llm_string},
            messages=messages,
            tenant=self._tenant,
            version=self._version,
            questions=self._core.wants_questions,
            tags=tags,
            expires_at=expires_at,
        )
        if request.key is not None:
            return request
        # Half an emoji, or the like: a text still has a key as it is.
        tenant = "" if self._tenant is None else f"={self._tenant}"
        key = text_key(prompt, llm_string, tenant, self._version)
        return CacheRequest(key, tags=tags, expires_at=expires_at)


def read_prompt(prompt: str) -> tuple[list[MessageParts], tuple[float | None, tuple[str, ...]]]:
    """The messages of LangChain's JSON form, and what tools say of how long an answer is good.

    Any other prompt is what a user says.
    """
    if prompt.startswith("["):
        try:
            items = cast("list[Mapping[str, Any]]", orjson.loads(prompt))
            if items and all(item["type"] == "constructor" for item in items):
                found = [cast("Mapping[str, Any]", item["kwargs"]) for item in items]
                return [parts_of_fields(fields) for fields in found], inherited_by_fields(found)
        except Exception:  # noqa: S110 - a prompt that is no JSON of messages is hashed as it is
            pass
    return [MessageParts("user", prompt)], (None, ())
