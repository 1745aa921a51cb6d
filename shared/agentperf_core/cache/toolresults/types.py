"""What the tool-result cache gets and gives: calls, codecs, decisions, and marks of results.

A mark is plain data, `{"expires_at": ..., "tags": [...]}`, that travels with a tool's message under
the name "agentperf": what is built on a result is worth no more than the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from agentperf_core.cache.decisions import Outcome
from agentperf_core.cache.requests.keys import Unkeyable, canonical, text_key
from agentperf_core.errors import AgentPerfError
from agentperf_core.toolpolicy import ToolPolicy

__all__ = [
    "RememberedToolError",
    "ToolDecision",
    "ToolRequest",
    "ToolResultCodec",
    "inherited",
    "tool_key",
]

T = TypeVar("T")


class RememberedToolError(AgentPerfError):
    """A tool failed a moment ago, and its policy says not to ask it again yet.

    The message is that of the tool's own error.

    Attributes:
        kind: name of the class of the tool's own error.
    """

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDecision:
    """What the cache did with one tool call, and why.

    Attributes:
        outcome: `"hit"` from the store, `"coalesced"` with an equal call in flight, `"miss"` if the
            tool ran and its result was kept, `"bypass"` if it ran and nothing was kept.
        reason: one sentence.
        tool: name of the tool.
        key: the call's key, shortened; `None` without one.
        age_s: seconds since a served result was made.
        stale: whether a served result is past its time and a new one is being fetched.
        saved_s: seconds that the tool took when a served result was made.
        expires_at: seconds since the Unix epoch at which the result is past its time.
        tags: names by which the result can be forgotten.
    """

    outcome: Outcome
    reason: str
    tool: str
    key: str | None = None
    age_s: float | None = None
    stale: bool = False
    saved_s: float | None = None
    expires_at: float | None = None
    tags: tuple[str, ...] = ()

    @property
    def served(self) -> bool:
        """Whether the tool was not called for this result."""
        return self.outcome in {"hit", "coalesced"}

    @property
    def mark(self) -> dict[str, Any] | None:
        """What goes with the result for `inherited`; `None` if nothing limits it."""
        if self.expires_at is None and not self.tags:
            return None
        return {"expires_at": self.expires_at, "tags": list(self.tags)}

    def record(self) -> dict[str, Any]:
        """Plain JSON data for messages, spans and reports, without what is not so."""
        found = {
            name: value
            for name in self.__dataclass_fields__
            if (value := getattr(self, name)) is not None and value is not False
        }
        found["tags"] = list(self.tags)
        return found


class ToolResultCodec(Protocol[T]):
    """How an adapter turns its framework's tool results into plain data and back."""

    def failed(self, result: T) -> bool:
        """Whether the result says that the tool failed."""
        ...

    def error(self, error: Exception) -> str | None:
        """The text of a tool's error; `None` for what is none, such as a question to a person."""
        ...

    def encode(self, result: T) -> Mapping[str, Any]:
        """Content, artefact and status as plain JSON data.

        Raises:
            Exception: if the result is not plain data; it is then not kept.
        """
        ...

    def decode(self, body: Mapping[str, Any], decision: ToolDecision) -> T:
        """A fresh result for this call, marked with the decision."""
        ...

    def mark(self, result: T, decision: ToolDecision) -> T:
        """The tool's own result, marked with the decision."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """One tool call as the cache sees it.

    Attributes:
        tool: name of the tool.
        arguments: by name, defaults filled in, without what the framework injects.
        policy: what is declared of the tool; `None` for nothing.
        schema: canonical bytes of the tool's parameters: another schema is another tool.
        version: which tool of this name and schema it is, and a tag to be changed when it changes.
            A function that carries something (a closure, a bound method, a callable object) is not
            told by its name: two of them must have two versions, or they share results.
        tenant: whose results these are.
        run: id of the run, for `cache_scope="run"`.
        session: id of the session, for `cache_scope="session"`.
        of_the_run: whether the tool is given something of the run that no argument shows (its
            state, its config), so that its result must not leave the run or the session.
    """

    tool: str
    arguments: Mapping[str, Any]
    policy: ToolPolicy | None = None
    schema: bytes = b""
    version: str = ""
    tenant: str | None = None
    run: str | None = None
    session: str | None = None
    of_the_run: bool = False
    tags: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        policy = self.policy
        tags = policy.tags_read(self.arguments) if policy is not None else ()
        object.__setattr__(self, "tags", tags)


def tool_key(request: ToolRequest, policy: ToolPolicy) -> str:
    """The key of a call as 64 hexadecimal digits.

    In it: tenant, scope, name, schema and version of the tool, the tags it reads, and the arguments
    that count.

    Raises:
        Unkeyable: if the call must not share its result: its policy neither keeps nor shares any,
            it asks for a fresh one, its scope is not known or too wide, or an argument has no
            canonical form.
    """
    if policy.ttl_s is None and not policy.repeatable:
        msg = "its policy keeps no results"
        raise Unkeyable(msg)
    scope = policy.cache_scope
    if request.of_the_run and scope == "global":
        msg = "the tool is given the run's state or config, and cache_scope='global'; "
        msg += "say 'run' or 'session'"
        raise Unkeyable(msg)
    ids = {"run": request.run, "session": request.session, "global": ""}
    owner = ids[scope]
    if owner is None:
        msg = f"cache_scope={scope!r} and the call belongs to no known {scope}"
        raise Unkeyable(msg)
    for name in policy.volatile_args:
        if request.arguments.get(name):
            msg = f"argument {name!r} asks for a fresh result"
            raise Unkeyable(msg)
    counted = {
        name: value
        for name, value in request.arguments.items()
        if policy.counts(name) and name not in policy.volatile_args
    }
    head = [request.tenant, scope, owner, request.tool, request.version, policy.reads]
    parts = (canonical(head), request.schema, canonical(counted))
    return text_key("tool", *(part.decode() for part in parts))


def inherited(marks: Iterable[object]) -> tuple[float | None, tuple[str, ...]]:
    """When what is built on some results expires, and by which tags it is forgotten.

    Args:
        marks: what the results' messages carry; anything that is no mark says nothing.

    Returns:
        The earliest time in seconds since the Unix epoch, `None` for no limit, and all tags.

    Example:
        >>> inherited([{"expires_at": 9.0, "tags": ["a"]}, {"expires_at": 7.5, "tags": ["b", "a"]}])
        (7.5, ('a', 'b'))
    """
    earliest: float | None = None
    tags: dict[str, None] = {}
    for mark in marks:
        if not isinstance(mark, Mapping):
            continue
        fields = cast("Mapping[str, Any]", mark)
        until, names = fields.get("expires_at"), fields.get("tags")
        if isinstance(until, (int, float)) and (earliest is None or not until >= earliest):
            earliest = float(until)
        if isinstance(names, (list, tuple)):
            found = cast("Iterable[object]", names)
            tags.update((name, None) for name in found if isinstance(name, str))
    return earliest, tuple(tags)
