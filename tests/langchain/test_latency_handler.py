"""`LatencyCallbackHandler` on real agents and chains."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

from agentperf_core.errors import ConfigError
from agentperf_core.telemetry import Recorder, Span, SpanKind, Trace
from langchain_agentperf import LatencyCallbackHandler, latency_callback
from tests.langchain.scripted_models import ScriptedChat, call, say


@tool
def lookup(order: int) -> str:
    """State of an order."""
    return f"order {order}: shipped"


@tool
def broken(order: int) -> str:
    """Always fails."""
    msg = f"no database for {order}"
    raise RuntimeError(msg)


def desk(number: int, messages: list[BaseMessage]) -> AIMessage:
    if isinstance(messages[-1], HumanMessage):
        return say("", call("lookup", "c1", order=1), call("lookup", "c2", order=2))
    return say("both have shipped")


def ask(text: str = "Where are my orders?") -> Any:
    return {"messages": [HumanMessage(text)]}


def kinds(trace: Trace) -> list[tuple[str, str]]:
    return [(span.kind.value, span.name) for span in trace.spans]


def only(handler: LatencyCallbackHandler) -> Trace:
    (trace,) = handler.report().traces
    return trace


def llm(trace: Trace) -> list[Span]:
    return list(trace.of_kind(SpanKind.LLM))


Drive = Callable[[Any, dict[str, Any]], None]


def _invoke(agent: Any, config: dict[str, Any]) -> None:
    agent.invoke(ask(), config)


def _ainvoke(agent: Any, config: dict[str, Any]) -> None:
    asyncio.run(agent.ainvoke(ask(), config))


def _stream(agent: Any, config: dict[str, Any]) -> None:
    list(agent.stream(ask(), config, stream_mode="messages"))


def _astream(agent: Any, config: dict[str, Any]) -> None:
    async def drain() -> None:
        async for _ in agent.astream(ask(), config, stream_mode="messages"):
            pass

    asyncio.run(drain())


def _events(agent: Any, config: dict[str, Any]) -> None:
    async def drain() -> None:
        async for _ in agent.astream_events(ask(), config, version="v2"):
            pass

    asyncio.run(drain())


@pytest.mark.parametrize("drive", [_invoke, _ainvoke, _stream, _astream, _events])
def test_an_agent_run_is_one_tree_whichever_way_it_is_driven(drive: Drive) -> None:
    agent = create_agent(ScriptedChat(answer=desk), [lookup], name="desk")
    handler = LatencyCallbackHandler()
    drive(agent, {"callbacks": [handler]})
    trace = only(handler)
    assert trace.root.kind is SpanKind.AGENT
    assert trace.root.name == "desk"
    counted = sorted(kinds(trace)[1:])
    assert counted == [
        ("chain", "model"),
        ("chain", "model"),
        ("chain", "tools"),
        ("chain", "tools"),
        ("llm", "scripted-1"),
        ("llm", "scripted-1"),
        ("tool", "lookup"),
        ("tool", "lookup"),
    ]
    assert {span.status for span in trace.spans} == {"ok"}
    assert handler.recorder.open_runs() == 0
    assert handler.report().usage.input_tokens == 20
    assert handler.report().usage.output_tokens == 10


def test_llm_and_tool_spans_carry_what_advice_needs() -> None:
    agent = create_agent(ScriptedChat(answer=desk), [lookup])
    with latency_callback() as handler:
        agent.invoke(ask())
    first, second = llm(only(handler))
    assert (first.model, first.provider) == ("scripted-1", "scripted")
    assert [s.attributes["finish_reason"] for s in (first, second)] == ["tool_calls", "stop"]
    assert first.attributes["node"] == "model"
    assert first.attributes["input_hash"] != second.attributes["input_hash"]
    tools = handler.report().tool_calls
    assert {span.attributes["tool_call_id"] for span in tools} == {"c1", "c2"}
    assert len({span.attributes["input_hash"] for span in tools}) == 2


def test_no_prompt_and_no_answer_is_kept() -> None:
    agent = create_agent(ScriptedChat(answer=desk), [lookup])
    with latency_callback() as handler:
        agent.invoke(ask("my secret is xyzzy"))
    text = handler.report().to_json()
    assert "xyzzy" not in text
    assert "shipped" not in text


def test_equal_tool_arguments_have_equal_digests_in_any_order() -> None:
    @tool
    def pair(a: int, b: int) -> str:
        """Two numbers."""
        return str(a + b)

    with latency_callback() as handler:
        pair.invoke({"a": 1, "b": 2})
        pair.invoke({"b": 2, "a": 1})
        pair.invoke({"a": 2, "b": 1})
    one, two, other = (trace.root.attributes["input_hash"] for trace in handler.report().traces)
    assert one == two != other


def test_a_stream_has_its_first_token_and_counts_each_chunk_once() -> None:
    """The empty chunk that opens a stream and the one with the usage at its end carry no token."""
    model = ScriptedChat(answer=lambda n, m: say("one two three"))
    with latency_callback() as handler:
        list(model.stream("count"))
    (span,) = llm(only(handler))
    assert span.chunks == 3
    assert span.ttft_s is not None
    assert span.usage is not None
    assert span.usage.output_tokens == 5


def test_tool_call_chunks_count_as_the_first_token() -> None:
    agent = create_agent(ScriptedChat(answer=desk), [lookup])
    with latency_callback() as handler:
        list(agent.stream(ask(), stream_mode="messages"))
    first, _ = llm(only(handler))
    assert first.chunks == 2


def test_the_event_protocol_counts_chunks_too() -> None:
    model = ScriptedChat(answer=lambda n, m: say("one two three"))
    with latency_callback() as handler:
        assert str(model.stream_events("count", version="v3").text) == "one two three"
    (span,) = llm(only(handler))
    assert span.chunks == 3


class TokensAndEvents(ScriptedChat):
    """Calls `on_llm_new_token` itself, like langchain-openai."""

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any):  # pyright: ignore[reportIncompatibleMethodOverride] - a stand-in
        for chunk in super()._stream(messages, **kwargs):
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


def test_a_chunk_that_comes_as_token_and_as_event_counts_once() -> None:
    model = TokensAndEvents(answer=lambda n, m: say("one two three"))
    with latency_callback() as handler:
        assert str(model.stream_events("count", version="v3").text) == "one two three"
    (span,) = llm(only(handler))
    assert span.chunks == 3


def test_an_abandoned_stream_is_cancelled_with_an_estimate() -> None:
    model = ScriptedChat(answer=lambda n, m: say("one two three four"))
    with latency_callback() as handler:
        stream = model.stream("count")
        got = [next(stream).content for _ in range(3)]
        stream.close()  # pyright: ignore[reportAttributeAccessIssue] - a generator
    assert got == ["", "one ", "two "]
    (span,) = llm(only(handler))
    assert span.status == "cancelled"
    assert span.usage is not None
    assert (span.usage.output_tokens, span.usage.estimated) == (2, True)


def test_a_broken_stream_is_an_error_with_an_estimate() -> None:
    model = ScriptedChat(answer=lambda n, m: say("one two three"), break_after=2)
    with latency_callback() as handler, pytest.raises(ConnectionError):
        list(model.stream("count"))
    (span,) = llm(only(handler))
    assert span.status == "error"
    assert span.error == "ConnectionError: the stream broke off"
    assert span.usage is not None
    assert (span.usage.output_tokens, span.usage.estimated) == (2, True)


def test_an_exception_inside_a_model_leaves_a_closed_span_with_the_error() -> None:
    def fail(number: int) -> None:
        raise ValueError("quota")

    agent = create_agent(ScriptedChat(before=fail), [])
    with latency_callback() as handler, pytest.raises(ValueError, match="quota"):
        agent.invoke(ask())
    trace = only(handler)
    assert [span.error for span in trace.spans] == ["ValueError: quota"] * 3
    assert {span.status for span in trace.spans} == {"error"}
    assert llm(trace)[0].usage is None


def test_an_exception_inside_a_tool_leaves_a_closed_span_with_the_error() -> None:
    model = ScriptedChat(answer=lambda n, m: say("", call("broken", order=7)))
    with latency_callback() as handler, pytest.raises(RuntimeError):
        create_agent(model, [broken]).invoke(ask())
    (span,) = only(handler).of_kind(SpanKind.TOOL)
    assert (span.status, span.error) == ("error", "RuntimeError: no database for 7")
    assert handler.recorder.open_runs() == 0


def test_an_error_that_a_tool_hands_to_the_model_counts_as_an_error() -> None:
    @tool
    def picky(order: int) -> str:
        """Refuses."""
        msg = "no such order"
        raise ToolException(msg)

    picky.handle_tool_error = True
    model = ScriptedChat(
        answer=lambda n, m: say("", call("picky", order=7)) if n == 1 else say("sorry")
    )
    with latency_callback() as handler:
        create_agent(model, [picky]).invoke(ask())
    (span,) = only(handler).of_kind(SpanKind.TOOL)
    assert span.status == "error"


def test_an_interrupt_is_a_stop_and_no_error() -> None:
    def pause(state: MessagesState) -> dict[str, Any]:
        return {"messages": [HumanMessage(str(interrupt("really?")))]}

    graph = StateGraph(MessagesState)
    graph.add_node("pause", pause)
    graph.add_edge(START, "pause")
    graph.add_edge("pause", END)
    app = graph.compile(checkpointer=InMemorySaver())
    with latency_callback() as handler:
        app.invoke(ask(), {"configurable": {"thread_id": "1"}})
    trace = only(handler)
    assert trace.root.kind is SpanKind.AGENT
    (node,) = [span for span in trace.spans if span.name == "pause"]
    assert (node.status, node.error) == ("cancelled", None)
    assert handler.report().errors == ()


def test_retries_are_numbered() -> None:
    def fail_twice(number: int) -> None:
        if number < 3:
            raise ConnectionError("again")

    model = ScriptedChat(before=fail_twice)
    chain = model.with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
    with latency_callback() as handler:
        chain.invoke("hi")
    spans = llm(only(handler))
    assert [span.attributes.get("attempt", 1) for span in spans] == [1, 2, 3]
    assert [span.status for span in spans] == ["error", "error", "ok"]


def test_fallbacks_show_both_models() -> None:
    def fail(number: int) -> None:
        raise ConnectionError("down")

    chain = ScriptedChat(before=fail, model="first").with_fallbacks([ScriptedChat(model="second")])
    with latency_callback() as handler:
        chain.invoke("hi")
    spans = [span for trace in handler.report().traces for span in trace.of_kind(SpanKind.LLM)]
    assert [(span.model, span.status) for span in spans] == [("first", "error"), ("second", "ok")]


@pytest.mark.parametrize("use_async", [False, True], ids=["batch", "abatch"])
def test_each_input_of_a_batch_is_a_run_of_its_own(use_async: bool) -> None:
    chain = RunnableLambda(str.upper) | ScriptedChat()
    handler = LatencyCallbackHandler()
    config: Any = {"callbacks": [handler]}
    if use_async:
        asyncio.run(chain.abatch(["a", "b", "c"], config))
    else:
        chain.batch(["a", "b", "c"], config)
    traces = handler.report().traces
    assert len(traces) == 3
    assert all(len(trace.spans) == 3 for trace in traces)


@pytest.mark.parametrize("use_async", [False, True], ids=["threads", "tasks"])
def test_one_handler_keeps_concurrent_runs_apart(use_async: bool) -> None:
    """Eight agents answer only when all of them are in their model call at the same time."""
    runs = 8
    barrier = threading.Barrier(runs)
    agent = create_agent(ScriptedChat(answer=desk, before=_meet(barrier)), [lookup])
    handler = LatencyCallbackHandler()
    config: Any = {"callbacks": [handler]}
    if use_async:
        slow = ScriptedChat(answer=desk)

        async def together() -> None:
            one = create_agent(slow, [lookup])
            await asyncio.gather(*(one.ainvoke(ask(f"q{i}"), config) for i in range(runs)))

        asyncio.run(together())
    else:
        threads = [
            threading.Thread(target=agent.invoke, args=(ask(f"q{i}"), config)) for i in range(runs)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    traces = handler.report().traces
    assert len(traces) == runs
    for trace in traces:
        ids = {span.id for span in trace.spans}
        assert all(span.parent_id in ids for span in trace.spans[1:])
        assert len(trace.spans) == 9


def _meet(barrier: threading.Barrier) -> Callable[[int], None]:
    def wait(number: int) -> None:
        if number <= barrier.parties:
            barrier.wait(timeout=20)

    return wait


@pytest.mark.parametrize("where", ["config twice", "config and context", "nested contexts"])
def test_a_handler_that_is_attached_twice_records_once(where: str) -> None:
    handler = LatencyCallbackHandler()
    model = ScriptedChat(answer=lambda n, m: say("one two"))
    if where == "config twice":
        list(model.stream("q", {"callbacks": [handler, handler]}))
    elif where == "config and context":
        with handler:
            list(model.stream("q", {"callbacks": [handler]}))
    else:
        with handler, handler:
            list(model.stream("q"))
    (span,) = only(handler).spans
    assert (span.chunks, span.status) == (2, "ok")


def test_nested_blocks_of_two_handlers_both_see_the_run() -> None:
    with latency_callback() as outer, latency_callback() as inner:
        ScriptedChat().invoke("hi")
    assert (outer.report().runs, inner.report().runs) == (1, 1)


def test_after_the_block_nothing_is_recorded_even_if_it_raised() -> None:
    handler = LatencyCallbackHandler()
    with pytest.raises(KeyError), handler:
        raise KeyError("x")
    ScriptedChat().invoke("hi")
    assert handler.report().runs == 0


def test_hooks_of_langchain_do_not_pile_up() -> None:
    """LangChain keeps every registered hook for ever, so blocks must share theirs."""
    from langchain_core.tracers.context import _configure_hooks

    with latency_callback():
        pass
    before = len(_configure_hooks)
    for _ in range(20):
        with latency_callback():
            pass
    assert len(_configure_hooks) == before


def test_a_recorder_can_be_shared() -> None:
    recorder = Recorder()
    with latency_callback(recorder=recorder):
        ScriptedChat().invoke("hi")
    with latency_callback(recorder=recorder):
        ScriptedChat().invoke("hi")
    assert recorder.report().runs == 2


def test_all_generations_of_a_call_are_counted() -> None:
    class Two(ScriptedChat):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kw: Any):  # pyright: ignore[reportIncompatibleMethodOverride] - a stand-in
            return ChatResult(
                generations=[ChatGeneration(message=say("a")), ChatGeneration(message=say("b"))]
            )

    with latency_callback() as handler:
        Two().invoke("hi")
    assert handler.report().usage.output_tokens == 10


def test_completion_models_and_retrievers_are_recorded() -> None:
    class Shelf(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [Document("page")]

    chain = Shelf() | RunnableLambda(str) | FakeListLLM(responses=["done"])
    with latency_callback() as handler:
        chain.invoke("q")
    trace = only(handler)
    assert ("retriever", "Shelf") in kinds(trace)
    assert ("llm", "FakeListLLM") in kinds(trace)
    (shelf,) = trace.of_kind(SpanKind.RETRIEVER)
    assert shelf.attributes["documents"] == 1


def test_a_graph_as_a_tool_is_an_agent_inside_the_run() -> None:
    inner = create_agent(ScriptedChat(), [], name="helper")

    @tool
    def consult(question: str) -> str:
        """Ask the helper."""
        return str(inner.invoke(ask(question))["messages"][-1].content)

    model = ScriptedChat(
        answer=lambda n, m: say("", call("consult", question="q")) if n == 1 else say("ok")
    )
    with latency_callback() as handler:
        create_agent(model, [consult], name="boss").invoke(ask())
    agents = [span.name for span in only(handler).of_kind(SpanKind.AGENT)]
    assert agents == ["boss", "helper"]


def test_a_recorder_of_another_kind_is_refused_with_the_way_out():
    wrong: Any = 5
    with pytest.raises(ConfigError, match="recorder must be a Recorder, got 5; leave it out"):
        LatencyCallbackHandler(recorder=wrong)
