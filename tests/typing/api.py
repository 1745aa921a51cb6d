"""The public API as a typed program sees it; pyright checks this file, nobody runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type

from langchain.agents.middleware import AgentMiddleware
from langchain_core.caches import BaseCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool as LangChainTool
from langgraph.prebuilt import ToolNode
from llama_index.core.agent.workflow import AgentWorkflow
from llama_index.core.llms.llm import LLM
from llama_index.core.storage.kvstore.types import BaseKVStore
from llama_index.core.tools import BaseTool, FunctionTool, ToolOutput

from agentperf_core.accounting import PRICES, ModelProfile, TokenCounter
from agentperf_core.bench import AgentBenchmark, ScriptedEndpoint
from agentperf_core.cache import (
    AnswerCodec,
    AnswerFacts,
    CacheDecision,
    CachePolicy,
    CacheRequest,
    CacheStats,
    ExactCache,
    Hit,
    Lease,
    MemoryStore,
    MessageParts,
    SemanticCache,
    SQLiteStore,
    Store,
    TieredStore,
    canonical,
    request_key,
    text_key,
)
from agentperf_core.cache.flight.live import LiveStreams, Reader
from agentperf_core.cache.flight.live import Opening as OpeningStream
from agentperf_core.cache.toolresults.cache import ToolResultCache
from agentperf_core.cache.toolresults.stats import ToolCounts
from agentperf_core.clock import SYSTEM_CLOCK, Clock, FakeClock, SystemClock
from agentperf_core.errors import AgentPerfError, ConfigError, MissingExtra, TraceFileError
from agentperf_core.events import BUS, DecisionMade, Event, EventBus, Fault
from agentperf_core.flow import Flow, Step, arun, run
from agentperf_core.telemetry import (
    Closing,
    Finding,
    KindShare,
    LatencyReport,
    Opening,
    Quantile,
    Recorder,
    Segment,
    Sink,
    Span,
    SpanKind,
    Thresholds,
    Trace,
    breakdown,
    critical_path,
    diagnose,
    quantile,
    quantiles,
    replay_s,
)
from agentperf_core.testing import (
    AsyncStoreConformance,
    MovableClock,
    StoreConformance,
    VirtualTime,
)
from agentperf_core.toolpolicy import ToolPolicy
from agentperf_core.tools import (
    Done,
    ExecutorStats,
    PlannedCall,
    PlanTools,
    SubstituteRegistry,
    ToolExecutor,
    ToolFailure,
    ToolGraph,
    ToolRun,
)
from agentperf_core.tools.light import arithmetic, date_time
from agentperf_core.types import Message, ToolCall, Usage
from langchain_agentperf import (
    CachedChatModel,
    LatencyCallbackHandler,
    NodeCache,
    ParallelToolsMiddleware,
    PerfToolNode,
    ResponseCacheMiddleware,
    TieredCache,
    ToolCacheMiddleware,
    ToolSubstituteMiddleware,
    cached_tool,
    latency_callback,
    message_state_key,
)
from langchain_agentperf import (
    ExactCache as LangChainExactCache,
)
from langchain_agentperf import (
    SemanticCache as LangChainSemanticCache,
)
from langchain_agentperf import (
    ToolExecutor as LangChainToolExecutor,
)
from langchain_agentperf import (
    model_profile as langchain_model_profile,
)
from langchain_agentperf import (
    run_plan as run_langchain_plan,
)
from llamaindex_agentperf import (
    CachedLLM,
    CachedTool,
    EmbeddingCacheStore,
    LatencyEventHandler,
    LatencySpanHandler,
    ManagedTool,
    ParallelAgentWorkflow,
    ParallelFunctionAgent,
    SubstituteTool,
    cached_tools,
    instrument,
    manage_tools,
)
from llamaindex_agentperf import (
    arun_plan as arun_llamaindex_plan,
)
from llamaindex_agentperf import (
    model_profile as llamaindex_model_profile,
)

# Ground floor


def double(load: Step[int]) -> Flow[int]:
    value = yield from load
    assert_type(value, int)
    return 2 * value


async def flows() -> None:
    async def later() -> int:
        return 1

    step = Step(lambda: 1, later)
    assert_type(step, Step[int])
    assert_type(run(double(step)), int)
    assert_type(await arun(double(step)), int)


def ground() -> None:
    clocks: Sequence[Clock] = (SYSTEM_CLOCK, SystemClock(), FakeClock(start=1.0, epoch=2.0))
    assert_type(clocks[0].monotonic_ns(), int)
    assert_type(clocks[0].time(), float)
    usage = Usage(output_tokens=1) + Usage.from_totals(input_tokens=2, output_tokens=1)
    assert_type(usage, Usage)
    assert_type(usage.total_tokens, int)
    Message(role="assistant", tool_calls=(ToolCall("1", "f", {"x": 1}),))
    Message(role="robot")  # pyright: ignore[reportArgumentType] - an unknown role is a type error
    usage.output_tokens = 2  # pyright: ignore[reportAttributeAccessIssue] - values are frozen
    try:
        ground()
    except MissingExtra as error:
        assert_type(error.extra, str)
    except TraceFileError as error:
        assert_type(error.path, Path | None)
        assert_type(error.line, int)
    except (ConfigError, AgentPerfError):
        pass


def events() -> None:
    def hook(event: Event) -> None:
        if isinstance(event, Fault):
            assert_type(event.count, int)
        else:
            assert_type(event, DecisionMade)

    unsubscribe = BUS.subscribe(hook)
    assert_type(unsubscribe, Callable[[], None])
    assert_type(EventBus().faults(), Mapping[str, int])


# Telemetry


class Printer:
    def emit(self, trace: Trace) -> None: ...


def no_price(usage: Usage, model: str, provider: str | None) -> Decimal | None:
    return None


def telemetry() -> None:
    sink: Sink = Printer()
    recorder = Recorder(sinks=[sink], pricer=no_price, max_open=10, clock=FakeClock())
    recorder.start("id", SpanKind.LLM, "chat", parent_id=7, model="big", attributes={"x": 1})
    recorder.chunk("id")
    recorder.annotate("id", finish_reason="stop")
    assert_type(recorder.start_lazily("lazy", None, Opening, (SpanKind.TOOL, "lookup")), bool)
    recorder.end_lazily("lazy", Closing, (Usage(),), error="no answer")
    assert_type(recorder.is_open("lazy"), bool)
    recorder.end("id", usage=Usage(), error=ValueError("x"), status="cancelled", cache={})
    with recorder.span("tool", "lookup", order=7):
        pass
    assert_type(recorder.traces(), tuple[Trace, ...])
    report = recorder.report()
    assert_type(report, LatencyReport)
    assert_type(report.cost_usd, Decimal | None)
    assert_type(report.breakdown, tuple[KindShare, ...])
    assert_type(report.run_seconds, list[Quantile])
    assert_type(report.diagnose(Thresholds(steps=5), faster_than=0.3), list[Finding])
    assert_type(LatencyReport.from_json(report.to_json()), LatencyReport)
    assert_type(LatencyReport.load("trace.json"), LatencyReport)
    assert_type(report.save_html(Path("report.html"), title="x"), Path)
    trace = report.traces[0]
    assert_type(trace.root, Span)
    assert_type(trace.of_kind(SpanKind.LLM, SpanKind.TOOL), Iterator[Span])
    assert_type(critical_path(trace), tuple[Segment, ...])
    assert_type(breakdown([trace]), tuple[KindShare, ...])
    assert_type(replay_s(trace, lambda span: 0 if span.streamed else None), float)
    assert_type(replay_s(trace, together=[["a", "b"]]), float)
    assert_type(diagnose(report, cheaper_model="small"), list[Finding])
    assert_type(quantile([1.0], 0.5), float)
    assert_type(quantiles([1.0], (0.5,)), list[Quantile])
    assert_type(trace.root.ttft_s, float | None)


def accounting() -> None:
    assert_type(PRICES.price(Usage(), "big", provider="acme"), Decimal | None)
    TokenCounter()


# Cache


class TextCodec:
    def facts(self, answer: str) -> AnswerFacts:
        return AnswerFacts(empty=not answer)

    def encode(self, answer: str) -> Mapping[str, Any]:
        return {"text": answer}

    def decode(self, body: Mapping[str, Any], decision: CacheDecision) -> str:
        return str(body["text"])

    def mark(self, answer: str, decision: CacheDecision) -> str:
        return answer


async def cache() -> None:
    async def call() -> str:
        return "answer"

    codec: AnswerCodec[str] = TextCodec()
    store: Store = MemoryStore(max_entries=10, clock=FakeClock())
    exact = ExactCache(store, policy=CachePolicy(ttl_s=None, sampled=True))
    key = request_key(
        model={"name": "big"},
        messages=[MessageParts("user", "hi")],
        tools=[canonical({"name": "f"})],
        tenant="acme",
    )
    assert_type(key, str)
    assert_type(text_key("prompt", "model"), str)
    step = Step(lambda: "answer", call)
    assert_type(run(exact.answer(CacheRequest(key), step, codec)), str)
    assert_type(await arun(exact.answer(CacheRequest(None, "no"), step, codec)), str)
    got = run(exact.acquire(CacheRequest(key), codec))
    if isinstance(got, Hit):
        assert_type(got.answer, str)
        assert_type(got.decision, CacheDecision)
    else:
        assert_type(got, Lease[str])
        with got:
            assert_type(run(got.finish("answer")), CacheDecision)
            got.fail(ValueError())
    semantic: ExactCache = SemanticCache(
        lambda texts: [[1.0]] * len(texts),
        store=TieredStore(MemoryStore(), SQLiteStore("cache.db")),
        max_error=0.001,
        mode="shadow",
        index="process",
    )
    assert_type(semantic.stats(), CacheStats)
    assert_type(run(semantic.report_bad_hit("0f")), int)


class OnDisk:
    """A user's own store needs no base class."""

    in_process: bool = False

    def get(self, key: str) -> bytes | None: ...
    def set(
        self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
    ) -> None: ...
    def delete(self, key: str) -> bool: ...
    def invalidate(self, tag: str) -> int: ...
    def clear(self) -> int: ...
    def scan(self, prefix: str = "") -> Iterator[str]: ...
    async def aget(self, key: str) -> bytes | None: ...
    async def aset(
        self, key: str, value: bytes, ttl_s: float | None, tags: Sequence[str] = ()
    ) -> None: ...
    async def adelete(self, key: str) -> bool: ...
    async def ainvalidate(self, tag: str) -> int: ...
    async def aclear(self) -> int: ...
    def ascan(self, prefix: str = "") -> AsyncIterator[str]: ...


class TestOnDisk(StoreConformance, AsyncStoreConformance):
    def clock(self) -> MovableClock:
        return FakeClock()

    def store(self) -> Store:
        return OnDisk()


# LangChain


def langchain(model: BaseChatModel) -> None:
    assert_type(langchain_model_profile(model), ModelProfile)
    handler = LatencyCallbackHandler(recorder=Recorder())
    callbacks: list[BaseCallbackHandler] = [handler]
    assert_type(handler.report(), LatencyReport)
    with LatencyCallbackHandler() as entered:
        assert_type(entered, LatencyCallbackHandler)
    manager: AbstractContextManager[LatencyCallbackHandler] = latency_callback()
    backend: BaseCache = LangChainExactCache(store=MemoryStore(), ttl_s=60.0, tenant="acme")
    middleware = ResponseCacheMiddleware(policy=CachePolicy(), tenant="acme", version="2")
    print(callbacks, manager, backend, middleware.cache)  # noqa: T201 - uses the names

    cached = CachedChatModel(model, store=MemoryStore(), tenant=lambda: "acme", version="2")
    chat: BaseChatModel = cached
    assert_type(cached.inner, BaseChatModel)
    assert_type(cached.core_cache, ExactCache)
    shared: BaseCache = TieredCache(MemoryStore(), l1_ttl_s=5.0)
    alike: BaseCache = LangChainSemanticCache(lambda texts: [[1.0]] * len(texts), max_error=0.001)
    nodes = NodeCache(graph="desk", store=MemoryStore(), tenant="acme")
    assert_type(message_state_key({"messages": []}), str)
    streams = LiveStreams[str](max_items=100)
    seat: Reader[str] | OpeningStream[str] = run(streams.join("key"))
    print(chat, shared, alike, nodes, seat)  # noqa: T201 - never run, only type-checked


async def langchain_tools(asked: AIMessage, search: LangChainTool) -> None:
    policies = {"search": ToolPolicy(read_only=True, ttl_s=60, timeout_s=5)}
    executor = ToolExecutor(max_concurrency=8)
    registry = SubstituteRegistry({"calculator": arithmetic(), "now": date_time()})
    results = ToolResultCache(MemoryStore())
    middleware: list[AgentMiddleware[Any, Any, Any]] = [
        ParallelToolsMiddleware(executor=executor, policies=policies, raises=[KeyError]),
        ToolCacheMiddleware(cache=results, policies=policies, ttl_s=60.0, tenant="acme"),
        ToolSubstituteMiddleware(registry),
    ]
    assert_type(executor.stats(), ExecutorStats)
    runnable = LangChainToolExecutor([search, ground], policies=policies, cache=results)
    assert_type(runnable.invoke(asked), list[ToolMessage])
    assert_type(await runnable.ainvoke([asked]), list[ToolMessage])
    assert_type(runnable.executor, ToolExecutor)
    node: ToolNode = PerfToolNode([search, ground], executor=executor, policies=policies)
    # The class of the tool is that of the cached one.
    assert_type(cached_tool(search, cache=results, session=lambda: "s"), LangChainTool)
    print(middleware, node)  # noqa: T201 - uses the names


# LlamaIndex


async def llamaindex(inner: LLM) -> None:
    assert_type(llamaindex_model_profile(inner), ModelProfile)
    llm: LLM = CachedLLM(inner, store=MemoryStore(), ttl_s=60.0, version="2")
    complete: Callable[..., Awaitable[Any]] = llm.acomplete
    with instrument(recorder=Recorder()) as instrumentation:
        await complete("hi")
    assert_type(instrumentation.report(), LatencyReport)
    cached = CachedLLM(inner, semantic="all-MiniLM-L6-v2", policy=CachePolicy())
    assert_type(cached.cache, ExactCache)
    assert_type(cached.stats().hit_rate, float)
    reads = ToolPolicy(read_only=True, ttl_s=60, reads=["orders:{order_id}"])
    results = ToolResultCache(MemoryStore(), answers=[cached.cache.store])
    assert_type(results.stats().by_tool["search"], ToolCounts)
    assert_type(results.stats().total.saved_s, float)
    tool: FunctionTool = CachedTool(ground, policy=reads, cache=results, tenant="acme")
    assert_type(cached_tools([tool, ground], {"ground": reads}, cache=results), list[BaseTool])
    executor = ToolExecutor(max_concurrency=8)
    managed: FunctionTool = ManagedTool(tool, policy=reads, executor=executor, tenant="acme")
    light = SubstituteTool(managed, lambda order_id: order_id, when=lambda given: len(given) == 1)
    assert_type(light.executor.stats(), ExecutorStats)
    assert_type((await light.acall(order_id=7)).is_error, bool)
    shared = manage_tools([light, ground], {"ground": reads}, executor=executor, cache=results)
    assert_type(shared, list[BaseTool])
    agent = ParallelFunctionAgent(
        name="desk", llm=inner, tools=[ground], policies={"ground": reads}, executor=executor
    )
    workflow: AgentWorkflow = ParallelAgentWorkflow([agent], root_agent="desk", cache=results)
    workflow.validate()
    store: BaseKVStore = EmbeddingCacheStore("my-model", store=MemoryStore(), ttl_s=60.0)
    assert_type(await store.aget("text"), dict[str, Any] | None)
    spans = LatencySpanHandler(Recorder())
    assert_type(spans.recorder, Recorder)
    LatencyEventHandler(spans)


# Plans


async def plans(tools: PlanTools[str], trace: Trace) -> None:
    graph = ToolGraph(
        [PlannedCall("a", "ping"), {"id": "b", "tool": "ping", "depends_on": ["a"]}],
        tools=["ping"],
        policies={"ping": ToolPolicy()},
    )
    assert_type(graph.groups(), list[tuple[PlannedCall, ...]])
    assert_type(graph.failures, dict[int, ToolFailure])
    executor = ToolExecutor()
    executor.durations.learn_spans(trace.spans)
    assert_type(run(executor.call_plan(graph, tools)), list[Done[str]])
    assert_type(await arun(executor.call_plan(graph, tools)), list[Done[str]])
    assert_type(VirtualTime().run(arun(executor.call_plan(graph, tools))), list[Done[str]])
    done = run_langchain_plan([{"id": "a", "tool": "plans"}], [plans], executor=executor)
    assert_type(done, list[Done[ToolMessage]])
    assert_type(done[0].run, ToolRun)
    outputs = await arun_llamaindex_plan([PlannedCall("a", "plans")], [plans], policies={})
    assert_type(outputs, list[Done[ToolOutput]])


# Bench


def bench() -> None:
    print(AgentBenchmark, ScriptedEndpoint)  # noqa: T201 - uses the names
