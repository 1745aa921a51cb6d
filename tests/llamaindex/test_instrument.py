"""`instrument()`: what agents, engines and model calls look like in the recorder."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.instrumentation import get_dispatcher  # pyright: ignore[reportPrivateImportUsage] - its home
from llama_index.core.instrumentation.dispatcher import instrument_tags  # pyright: ignore[reportPrivateImportUsage] - its home
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import BaseTool, FunctionTool, QueryEngineTool, ToolMetadata, ToolOutput
from llamaindex_tools import ScriptedLLM, calls, says, start, tree, user
from workflows.errors import WorkflowCancelledByUser

from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS
from agentperf_core.telemetry import Recorder, SpanKind, Trace
from llamaindex_agentperf import (
    CachedLLM,
    LatencyEventHandler,
    LatencySpanHandler,
    instrument,
)
from llamaindex_agentperf.instrumentation import Instrumentation

pytestmark = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecatedSince20",
    "ignore::pydantic.warnings.PydanticDeprecatedSince211",
    "ignore:is_running called from within a step:DeprecationWarning",
)

SECRET = "my-card-number-is-4711"


def _faults() -> dict[str, int]:
    # Caches of other tests, whose stores are gone by now, report their statistics at any time.
    return {where: count for where, count in BUS.faults().items() if where != "cache.stats"}


@pytest.fixture
def seen() -> Iterator[Instrumentation]:
    before = _faults()
    with instrument() as instrumentation:
        yield instrumentation
        assert instrumentation.recorder.open_runs() == 0, "a run was left open"
    assert _faults() == before, "a handler failed"


def _only(seen: Instrumentation) -> Trace:
    (trace,) = seen.recorder.traces()
    return trace


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


async def slow_add(a: int, b: int) -> int:
    """Add."""
    await asyncio.sleep(0)
    return a + b


def fail(a: int) -> int:
    """Fail."""
    msg = "no such order"
    raise ValueError(msg)


def desk(messages: Any) -> Any:
    if messages[-1].role == "tool":
        return says("done then")
    return calls(("add", {"a": 1, "b": 2}), ("slow_add", {"a": 1, "b": 2}), ("fail", {"a": 1}))


def _agent(llm: Any, **options: Any) -> FunctionAgent:
    tools = [
        FunctionTool.from_defaults(add),
        FunctionTool.from_defaults(async_fn=slow_add),
        FunctionTool.from_defaults(fail),
    ]
    return FunctionAgent(name="desk", llm=llm, tools=tools, **options)


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_function_agent_is_one_run_with_its_model_calls_and_tools(
    seen: Instrumentation, streaming: bool
) -> None:
    await start(_agent(ScriptedLLM(desk), streaming=streaming), SECRET)
    trace = _only(seen)
    kinds = tree(trace)
    assert trace.root.kind is SpanKind.AGENT
    assert trace.root.name == "desk"
    assert [span.name for span in kinds["llm"]] == ["gpt-4o-mini"] * 2
    assert {span.name: span.status for span in kinds["tool"]} == {
        "add": "ok",
        "slow_add": "ok",
        "fail": "error",
    }
    for span in kinds["llm"]:
        assert span.usage is not None
        assert span.usage.cached_input_tokens == 60
        assert span.usage.uncached_input_tokens == 40
        assert span.usage.reasoning_tokens == 5
        assert span.model == "gpt-4o-mini"
        assert span.streamed is streaming
    finishes = [span.attributes["finish_reason"] for span in kinds["llm"]]
    assert finishes == ["tool_calls", "stop"]
    failed = next(span for span in kinds["tool"] if span.name == "fail")
    assert failed.error == "ValueError: no such order"


async def test_no_span_holds_a_prompt(seen: Instrumentation) -> None:
    """LlamaIndex's own tags quote the start event; ours must not."""
    await start(_agent(ScriptedLLM(desk)), SECRET)
    assert SECRET not in seen.report().to_json()


async def test_a_run_carries_its_run_id_and_the_users_tags(seen: Instrumentation) -> None:
    with instrument_tags({"customer": "c-1"}):
        handler = start(_agent(ScriptedLLM(desk)), "hi")
        await handler
    attributes = _only(seen).root.attributes
    assert attributes["customer"] == "c-1"
    assert attributes["run_id"] == handler.run_id


async def test_concurrent_runs_do_not_mix(seen: Instrumentation) -> None:
    def script(messages: Any) -> Any:
        if messages[-1].role == "tool":
            return says(str(messages[-1].content))
        number = int(messages[-1].content)
        return calls(("add", {"a": number, "b": 0}), ("slow_add", {"a": number, "b": 0}))

    agent = _agent(ScriptedLLM(script))
    await asyncio.gather(*(start(agent, str(n)) for n in range(8)))
    traces = seen.recorder.traces()
    assert len(traces) == 8
    assert len({trace.root.attributes["run_id"] for trace in traces}) == 8
    for trace in traces:
        kinds = tree(trace)
        assert (len(kinds["agent"]), len(kinds["llm"]), len(kinds["tool"])) == (1, 2, 2)
    marks = [
        {span.attributes["input_hash"] for span in trace.of_kind(SpanKind.TOOL)} for trace in traces
    ]
    assert all(len(mark) == 1 for mark in marks), "both tools of a run got the same arguments"
    assert len(set.union(*marks)) == 8


async def test_a_react_agent_and_a_workflow_of_agents(seen: Instrumentation) -> None:
    steps = iter(
        [
            'Thought: add\nAction: add\nAction Input: {"a": 1, "b": 2}',
            "Thought: I can answer\nAnswer: 3",
        ]
    )
    react = ReActAgent(
        llm=ScriptedLLM(lambda _: says(next(steps))), tools=[FunctionTool.from_defaults(add)]
    )
    assert str(await start(react, "1+2")) == "3"
    trace = _only(seen)
    assert [span.name for span in trace.of_kind(SpanKind.TOOL)] == ["add"]
    assert len(list(trace.of_kind(SpanKind.LLM))) == 2

    seen.recorder.clear()
    await start(AgentWorkflow(agents=[_agent(ScriptedLLM(desk))]), "hi")
    trace = _only(seen)
    assert (trace.root.kind, trace.root.name) == (SpanKind.AGENT, "AgentWorkflow")
    assert len(list(trace.of_kind(SpanKind.TOOL))) == 3


async def test_a_failing_model_closes_the_run_with_the_error(seen: Instrumentation) -> None:
    llm = ScriptedLLM(lambda _: ConnectionError("no route"))
    with pytest.raises(Exception, match="no route"):
        await start(_agent(llm, streaming=False), "hi")
    trace = _only(seen)
    assert trace.root.status == "error"
    (call,) = trace.of_kind(SpanKind.LLM)
    assert call.error == "ConnectionError: no route"


async def test_a_cancelled_run_is_marked_cancelled(seen: Instrumentation) -> None:
    started = asyncio.Event()

    async def hang(a: int) -> int:
        """Hang."""
        started.set()
        await asyncio.Event().wait()
        return a

    agent = FunctionAgent(
        llm=ScriptedLLM(lambda _: calls(("hang", {"a": 1}))),
        tools=[FunctionTool.from_defaults(async_fn=hang)],
    )
    handler = start(agent, "hi")
    await started.wait()
    await handler.cancel_run()
    with pytest.raises(WorkflowCancelledByUser):
        await handler
    await asyncio.sleep(0)
    trace = _only(seen)
    assert trace.root.status == "cancelled"
    (tool,) = trace.of_kind(SpanKind.TOOL)
    assert tool.status in {"cancelled", "unfinished"}


def test_a_tool_that_reports_an_error_is_an_error(seen: Instrumentation) -> None:
    class Reporting(BaseTool):
        @property
        def metadata(self) -> ToolMetadata:
            return ToolMetadata(name="reporting", description="reports")

        def __call__(self, input: Any) -> ToolOutput:  # noqa: A002 - the base class's name
            return ToolOutput(
                content=SECRET, tool_name="reporting", raw_input={}, raw_output="", is_error=True
            )

    Reporting()("x")
    (tool,) = _only(seen).of_kind(SpanKind.TOOL)
    assert tool.status == "error"
    assert SECRET not in str(tool)


async def test_a_call_inside_an_acall_is_one_tool_call(seen: Instrumentation) -> None:
    """The adapter of sync tools nests three spans."""
    from llama_index.core.tools import adapt_to_async_tool

    class Plain(BaseTool):
        @property
        def metadata(self) -> ToolMetadata:
            return ToolMetadata(name="plain", description="plain")

        def __call__(self, input: Any) -> ToolOutput:  # noqa: A002 - the framework's own name
            return ToolOutput(content="1", tool_name="plain", raw_input={}, raw_output="1")

    await adapt_to_async_tool(Plain()).acall("x")
    assert len(_only(seen).spans) == 1


def _index() -> VectorStoreIndex:
    documents = [Document(text="Order 7 has shipped.")]
    return VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(embed_dim=4))


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_query_engine_is_one_run(seen: Instrumentation, streaming: bool) -> None:
    """A streamed reply calls the model only when it is read: still the same run."""
    index = _index()
    engine = index.as_query_engine(llm=ScriptedLLM(), streaming=streaming)
    seen.recorder.clear()
    str(engine.query("where?"))
    response: Any = await engine.aquery("where?")
    if streaming:
        assert [text async for text in response.async_response_gen()]
    for trace in seen.recorder.traces():
        kinds = tree(trace)
        assert (len(kinds["agent"]), len(kinds["llm"])) == (1, 1)
        assert (len(kinds["retriever"]), len(kinds["embedding"])) == (1, 1)
        assert kinds["llm"][0].streamed is streaming
        assert {span.status for span in trace.spans} == {"ok"}
    assert len(seen.recorder.traces()) == 2


async def test_a_chat_engine_is_one_run_in_all_four_ways(seen: Instrumentation) -> None:
    engine = _index().as_chat_engine(
        llm=ScriptedLLM(), chat_mode=ChatMode.SIMPLE, memory=ChatMemoryBuffer.from_defaults()
    )
    seen.recorder.clear()
    engine.chat("hi")
    await engine.achat("hi")
    assert list(engine.stream_chat("hi").response_gen)
    response = await engine.astream_chat("hi")
    assert [text async for text in response.async_response_gen()]
    await asyncio.sleep(0.01)  # the engine ends its own background task after the reply
    traces = seen.recorder.traces()
    assert [trace.root.kind for trace in traces] == [SpanKind.AGENT] * 4
    assert [len(list(trace.of_kind(SpanKind.LLM))) for trace in traces] == [1] * 4
    assert {span.status for trace in traces for span in trace.spans} == {"ok"}


def test_a_query_engine_inside_a_tool_is_a_step(seen: Instrumentation) -> None:
    engine = _index().as_query_engine(llm=ScriptedLLM())
    seen.recorder.clear()
    QueryEngineTool.from_defaults(engine, name="docs").call("where?")
    trace = _only(seen)
    assert (trace.root.kind, trace.root.name) == (SpanKind.TOOL, "docs")
    assert "agent" not in tree(trace)


async def test_cache_hits_are_cache_spans_and_never_billed(seen: Instrumentation) -> None:
    agent = _agent(CachedLLM(ScriptedLLM(desk)))
    for _ in range(2):
        await start(agent, "hi")
    report = seen.report()
    assert len(report.llm_calls) == 2
    assert len(report.cache_hits) == 2
    assert report.usage.output_tokens == 40
    assert report.saved_usage.output_tokens == 40
    assert {span.cache["of"] for span in report.cache_hits if span.cache} == {"llm"}
    assert report.steps == (2, 2)


def test_uninstrument_takes_both_handlers_down() -> None:
    root = get_dispatcher()
    before = (list(root.span_handlers), list(root.event_handlers))
    recorder = Recorder()
    instrumentation = instrument(recorder=recorder)
    assert instrumentation.recorder is recorder
    instrumentation.uninstrument()
    assert (list(root.span_handlers), list(root.event_handlers)) == before
    ScriptedLLM().chat([user("hi")])
    assert recorder.traces() == ()


def test_what_is_open_when_it_is_taken_down_is_unfinished() -> None:
    instrumentation = instrument()
    stream = ScriptedLLM().stream_chat([user("hi there")])
    next(stream)
    instrumentation.uninstrument()
    assert _only(instrumentation).root.status == "unfinished"
    assert list(stream)


@pytest.mark.parametrize("make", [instrument, LatencySpanHandler], ids=["instrument", "handler"])
def test_a_recorder_of_another_kind_is_refused_with_the_way_out(make):
    with pytest.raises(ConfigError, match="recorder must be a Recorder, got 5; leave it out"):
        make(recorder=5)
    wrong: Any = "x"
    with pytest.raises(ConfigError, match="spans must be a LatencySpanHandler, got 'x'"):
        LatencyEventHandler(wrong)
