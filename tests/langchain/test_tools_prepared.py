"""A tool that is made ready once answers, fails and is told of like the tool itself."""

from __future__ import annotations

import asyncio
import inspect
from typing import Annotated, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import (
    BaseTool,
    InjectedToolArg,
    InjectedToolCallId,
    StructuredTool,
    Tool,
    ToolException,
    tool,
)
from pydantic import BaseModel, ValidationError

from langchain_agentperf import ToolExecutor
from langchain_agentperf._tools.prepared import prepared


class Started(BaseCallbackHandler):
    def __init__(self) -> None:
        self.inputs: list[Any] = []
        self.ended: list[Any] = []

    def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
        self.inputs.append((serialized, input_str, kwargs["inputs"], kwargs["tool_call_id"]))

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        self.ended.append((output.content, kwargs["name"]))


@tool
def plain(n: int, times: int = 2) -> str:
    """Plain."""
    return str(n * times)


@tool
async def awaited(n: int) -> str:
    """Awaited."""
    return f"a{n}"


@tool
def told(n: int, config: RunnableConfig, call_id: Annotated[str, InjectedToolCallId]) -> str:
    """Is given config and call id."""
    return f"{n} {config.get('metadata', {})['who']} {call_id}"


@tool
async def secret(n: int, key: Annotated[str, InjectedToolArg]) -> str:
    """Is given a key that no callback may see."""
    return f"{n}{key}"


@tool(response_format="content_and_artifact")
def pair(n: int) -> tuple[str, list[int]]:
    """Content and artefact."""
    return str(n), [n]


@tool
def broken(n: int) -> str:
    """Fails."""
    raise ToolException(f"no {n}")


def asked(name: str, **args: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": "c1", "name": name, "args": args}


CONFIG: RunnableConfig = {"metadata": {"who": "ana"}}
CASES = [
    (plain, {"n": 3}),
    (plain, {"n": "3", "times": 4}),
    (awaited, {"n": 1}),
    (told, {"n": 1}),
    (secret, {"n": 1, "key": "x"}),
    (pair, {"n": 5}),
]


@pytest.mark.parametrize(("one", "args"), CASES, ids=lambda value: getattr(value, "name", ""))
async def test_it_answers_and_is_told_of_like_the_tool(one: BaseTool, args: dict[str, Any]):
    results: list[Any] = []
    for callee in (one, prepared(one)):
        seen = Started()
        config: RunnableConfig = {**CONFIG, "callbacks": [seen]}
        results.append((await callee.ainvoke(asked(one.name, **args), config), seen.__dict__))
        if one is not awaited and one is not secret:
            called = callee.invoke(asked(one.name, **args), config)
            results[-1] = (*results[-1], called)
    assert results[0] == results[1]
    assert "x" not in str(results[1][1]["inputs"]), "the injected key is in no event"


def test_what_it_raises_is_what_the_tool_raises():
    with pytest.raises(ToolException, match="no 7"):
        prepared(broken).invoke(asked("broken", n=7))
    with pytest.raises(ValidationError):
        prepared(plain).invoke(asked("plain", n="seven"))


def test_it_is_made_once_and_anew_when_the_tool_changes():
    one = StructuredTool.from_function(lambda n: n, name="one", description="One.")
    first = prepared(one)
    assert prepared(one) is first is not one
    one.func = lambda n: n + 1
    assert prepared(one) is not first
    assert prepared(one).invoke({"n": 1}) == 2
    one.handle_tool_error = True
    assert prepared(one).handle_tool_error is True


def test_nothing_is_resolved_again_at_a_call(monkeypatch: pytest.MonkeyPatch):
    """Which takes half of the time that a call of a tool takes."""
    ready = prepared(awaited)
    parameters = inspect.signature(ready.coroutine).parameters  # type: ignore[attr-defined]
    assert parameters["n"].annotation is int
    compiled: list[str] = []
    import typing

    made = typing.ForwardRef.__init__

    def counted(self: Any, arg: str, *args: Any, **kwargs: Any) -> None:
        compiled.append(arg)
        made(self, arg, *args, **kwargs)

    monkeypatch.setattr(typing.ForwardRef, "__init__", counted)
    assert asyncio.run(ready.ainvoke(asked("awaited", n=1))).content == "a1"
    assert not compiled
    asyncio.run(awaited.ainvoke(asked("awaited", n=1)))
    assert compiled, "LangChain resolves them itself by now: this module has no purpose any more"


def test_tools_of_other_kinds_stay_as_they_are():
    class Own(BaseTool):
        name: str = "own"
        description: str = "Own."

        def _run(self, n: int) -> int:
            return n

    own = Own()
    old = Tool.from_function(str.upper, "old", "Old.")
    assert prepared(own) is own
    assert prepared(old) is old


def test_a_method_of_the_tools_own_class_is_called():
    class Louder(StructuredTool):
        def _run(self, *args: Any, config: RunnableConfig, **kwargs: Any) -> Any:
            return super()._run(*args, config=config, **kwargs) + "!"

    def said(n: int) -> str:
        return str(n)

    louder = Louder.from_function(said, name="louder", description="Louder.")
    assert prepared(louder).invoke({"n": 1}) == "1!"


def test_annotations_that_nobody_can_resolve_are_left_to_langchain():
    class Schema(BaseModel):
        n: int

    def odd(n: Nowhere) -> int:  # noqa: F821 # type: ignore[name-defined]
        return n

    one = StructuredTool.from_function(odd, name="odd", description="Odd.", args_schema=Schema)
    assert prepared(one) is one
    executor = ToolExecutor([one])
    assert executor.invoke([asked("odd", n=3)])[0].content == "3"
