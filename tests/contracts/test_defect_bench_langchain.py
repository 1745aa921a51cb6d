"""Defects of LangChain's own caches, each as one scenario that ours must get right.

Every scenario runs against `ExactCache` (behind LangChain's interface, as far as that allows),
against `ResponseCacheMiddleware` (around an agent's model calls), against `CachedChatModel` (the
model itself) and against LangChain's `InMemoryCache`. The last run is a record, not a demand: as
long as the defect is there the test passes, and once upstream has fixed it the test says so by
skipping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import create_model

from agentperf_core.cache import ExactCache as CoreCache
from agentperf_core.cache import MemoryStore, Store
from langchain_agentperf import CachedChatModel, ExactCache, ResponseCacheMiddleware
from tests.langchain.scripted_models import ScriptedChat, call, say

Ask = Callable[..., AIMessage]


class Settings(AgentMiddleware[Any, Any, Any]):
    """Sets call parameters and what of the history the model sees, outside of the cache."""

    def __init__(self, settings: dict[str, Any], *, last_only: bool = False) -> None:
        super().__init__()
        self._settings = settings
        self._last_only = last_only

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[..., Any]) -> Any:
        history = request.messages[-1:] if self._last_only else request.messages
        return handler(request.override(model_settings=self._settings, messages=history))


@dataclass
class Setup:
    """One cache under test, shared by everything that a scenario builds with it."""

    name: str
    behind_model: BaseCache | bool = False
    around_agent: list[AgentMiddleware[Any, Any, Any]] = field(default_factory=list)
    around_model: CoreCache | None = None

    def model(self, kind: type[ScriptedChat] = ScriptedChat, **fields: Any) -> ScriptedChat:
        return kind(cache=self.behind_model, **fields)

    def agent(
        self,
        model: ScriptedChat,
        tools: Sequence[Any] = (),
        settings: dict[str, Any] | None = None,
        *,
        last_only: bool = False,
        **options: Any,
    ) -> Any:
        outer = Settings(settings or {}, last_only=last_only)
        asked: Any = model
        if self.around_model is not None:
            asked = CachedChatModel(model, cache=self.around_model)
        return create_agent(asked, tools, middleware=[outer, *self.around_agent], **options)

    def asker(self, model: ScriptedChat, tools: Sequence[Any] = (), **settings: Any) -> Ask:
        agent = self.agent(model, tools, settings)

        def ask(messages: Any = "question", **config: Any) -> AIMessage:
            history = messages if isinstance(messages, list) else [HumanMessage(messages)]
            return agent.invoke({"messages": history}, config)["messages"][-1]

        return ask


def langchain(cache: BaseCache | None = None) -> Setup:
    return Setup("InMemoryCache", behind_model=cache if cache is not None else InMemoryCache())


def exact(store: Store | None = None) -> Setup:
    return Setup("ExactCache", behind_model=ExactCache(store=store))


def middleware(store: Store | None = None) -> Setup:
    around = [ResponseCacheMiddleware(cache=CoreCache(store))]
    return Setup("ResponseCacheMiddleware", around_agent=[*around])


def wrapper() -> Setup:
    return Setup("CachedChatModel", around_model=CoreCache())


def every_hit_has_an_id_of_its_own(setup: Setup) -> bool:
    ask = setup.asker(setup.model())
    answers = [ask(), ask(), ask()]
    return len({answer.id for answer in answers}) == 3 and len({a.text for a in answers}) == 1


def two_nodes_with_one_prompt_both_keep_their_answer(setup: Setup) -> bool:
    ask = setup.asker(setup.model())

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [ask("fixed prompt")]}

    graph = StateGraph(MessagesState)
    graph.add_node("a", node)
    graph.add_node("b", node)
    graph.add_edge(START, "a")
    graph.add_edge("a", "b")
    graph.add_edge("b", END)
    state = graph.compile().invoke({"messages": [HumanMessage("hi")]})
    return len(state["messages"]) == 3


def a_second_turn_does_not_overwrite_the_first(setup: Setup) -> bool:
    """A window over the history makes the second turn's request equal to the first's."""
    model = setup.model()
    agent = setup.agent(model, last_only=True, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    agent.invoke({"messages": [HumanMessage("again")]}, config)
    state = agent.invoke({"messages": [HumanMessage("again")]}, config)
    return model.calls == 1 and [m.type for m in state["messages"]] == ["human", "ai"] * 2


def changing_a_live_answer_does_not_change_the_cache(setup: Setup) -> bool:
    ask = setup.asker(setup.model())
    ask().content = "poison"
    return ask().text == "answer 1"


def changing_a_hit_does_not_change_the_cache(setup: Setup) -> bool:
    ask = setup.asker(setup.model())
    ask()
    ask().content = "poison"
    return ask().text == "answer 1"


def changing_metadata_of_a_hit_does_not_change_the_cache(setup: Setup) -> bool:
    ask = setup.asker(setup.model())
    ask()
    ask().response_metadata["poison"] = 1
    return "poison" not in ask().response_metadata


def changing_content_blocks_of_a_hit_does_not_change_the_cache(setup: Setup) -> bool:
    blocks = [{"type": "text", "text": "hello"}]
    ask = setup.asker(setup.model(answer=lambda n, m: AIMessage(content=[dict(b) for b in blocks])))
    ask()
    ask().content.append("poison")  # pyright: ignore[reportAttributeAccessIssue] - a list here
    return ask().text == "hello"


def an_agents_name_stays_with_the_agent(setup: Setup) -> bool:
    """`create_agent(name=...)` writes its name into the message that the model gave."""
    model = setup.model()
    asked = {"messages": [HumanMessage("q")]}
    setup.agent(model, name="alice").invoke(asked)
    nameless = setup.agent(model).invoke(asked)["messages"][-1]
    bob = setup.agent(model, name="bob").invoke(asked)["messages"][-1]
    return model.calls == 1 and nameless.name is None and bob.name == "bob"


def a_changed_attribute_makes_another_request(setup: Setup) -> bool:
    model = setup.model(temperature=0.0, model="small")
    ask = setup.asker(model)
    ask()
    model.model = "large"
    return ask().text == "answer 2"


def a_changed_copy_of_a_model_makes_another_request(setup: Setup) -> bool:
    model = setup.model(model="small")
    setup.asker(model)()
    copy = model.model_copy(update={"model": "large"})
    return setup.asker(copy)().text != "answer 1"


def a_hit_streams_in_pieces_without_a_call(setup: Setup) -> bool:
    model = setup.model(answer=lambda n, m: say("one two three"))
    agent = setup.agent(model)
    asked = {"messages": [HumanMessage("q")]}
    runs = [[m.text for m, _ in agent.stream(asked, stream_mode="messages")] for _ in range(2)]
    texts = ["".join(pieces) for pieces in runs]
    return model.calls == 1 and texts == ["one two three"] * 2 and len(runs[1]) > 1


def a_hit_adds_nothing_to_the_tokens_counted(setup: Setup) -> bool:
    ask = setup.asker(setup.model())
    counter = UsageMetadataCallbackHandler()
    for _ in range(3):
        ask(callbacks=[counter])
    return counter.usage_metadata["scripted-1"]["total_tokens"] == 15


def a_hit_of_a_model_without_usage_fits_the_schema(setup: Setup) -> bool:
    ask = setup.asker(setup.model(answer=lambda n, m: AIMessage("hello")))
    ask()
    usage = ask().usage_metadata
    return usage is None or {"input_tokens", "output_tokens", "total_tokens"} <= usage.keys()


def metadata_of_earlier_answers_is_not_part_of_the_request(setup: Setup) -> bool:
    model = setup.model()
    ask = setup.asker(model)
    for number in (1, 2):
        earlier = say("a", id=f"chatcmpl-{number}", system_fingerprint=str(number))
        ask([HumanMessage("q"), earlier, HumanMessage("z")])
    return model.calls == 1


def usage_of_earlier_answers_is_not_part_of_the_request(setup: Setup) -> bool:
    model = setup.model()
    ask = setup.asker(model)
    for tokens in (1, 2):
        earlier = AIMessage(
            "a",
            usage_metadata={"input_tokens": 1, "output_tokens": tokens, "total_tokens": tokens + 1},
        )
        ask([HumanMessage("q"), earlier, HumanMessage("z")])
    return model.calls == 1


def tool_call_ids_are_not_part_of_the_request(setup: Setup) -> bool:
    """Providers draw new ones for every run, so no agent step with tools would ever hit."""
    model = setup.model()
    ask = setup.asker(model)
    for drawn in ("c1", "c2"):
        ask(
            [
                HumanMessage("q"),
                AIMessage("", tool_calls=[call("f", drawn, x=1)]),
                ToolMessage("r", tool_call_id=drawn),
            ]
        )
    return model.calls == 1


def answers_are_matched_to_their_calls(setup: Setup) -> bool:
    """Without ids in the key, swapped results must still make another request."""
    model = setup.model()
    ask = setup.asker(model)
    for first, second in (("c1", "c2"), ("c2", "c1")):
        ask(
            [
                HumanMessage("q"),
                AIMessage("", tool_calls=[call("f", "c1", x=1), call("f", "c2", x=2)]),
                ToolMessage("r", tool_call_id=first),
                ToolMessage("s", tool_call_id=second),
            ]
        )
    return model.calls == 2


def equivalent_histories_are_one_request(setup: Setup) -> bool:
    """A streamed answer is kept as a chunk, a hit carries marks; both say the same."""
    model = setup.model()
    ask = setup.asker(model)
    for earlier in (
        AIMessage("a"),
        AIMessage("a", id="x"),
        AIMessageChunk(content="a", chunk_position="last"),
        AIMessage("a", additional_kwargs={"refusal": None}),
        AIMessage("a", response_metadata={"agentperf": {"cache": {"outcome": "hit"}}}),
    ):
        ask([HumanMessage("q"), earlier, HumanMessage("z")])
    return model.calls == 1


def a_history_with_a_hit_in_it_is_the_same_request(setup: Setup) -> bool:
    """LangChain writes `total_cost` into the message of a hit, and later keys hold it."""
    model = setup.model(answer=lambda n, m: say("hello" if len(m) == 1 else "bye"))
    ask = setup.asker(model)
    for _ in range(2):
        ask([HumanMessage("q"), ask([HumanMessage("q")]), HumanMessage("z")])
    return model.calls == 2


_A = {"type": "function", "function": {"name": "a", "description": "A", "parameters": {}}}
_B = {"function": {"description": "B", "name": "b", "parameters": {}}, "type": "function"}
_A_TURNED = {"function": {"parameters": {}, "description": "A", "name": "a"}, "type": "function"}


def the_order_of_tools_is_not_part_of_the_request(setup: Setup) -> bool:
    model = setup.model()
    setup.asker(model, [_A, _B])()
    setup.asker(model, [_B, _A])()
    return model.calls == 1


def the_order_of_a_schemas_keys_is_not_part_of_the_request(setup: Setup) -> bool:
    model = setup.model()
    setup.asker(model, [_A])()
    setup.asker(model, [_A_TURNED])()
    return model.calls == 1


def schemas_of_one_name_are_two_requests(setup: Setup) -> bool:
    model = setup.model()
    one, other = create_model("Reply", x=(int, ...)), create_model("Reply", y=(str, ...))
    setup.asker(model, response_format=one)()
    setup.asker(model, response_format=other)()
    return model.calls == 2


class WithTimeout(ScriptedChat):
    max_retries: int = 2
    timeout: float | None = None


def retries_and_timeouts_are_not_part_of_the_request(setup: Setup) -> bool:
    setup.asker(setup.model(WithTimeout, timeout=1.0))()
    second = setup.model(WithTimeout, timeout=9.0, max_retries=5)
    setup.asker(second)()
    return second.calls == 0


@dataclass(frozen=True)
class Defect:
    """A scenario, who of ours gets it right, and where it was reported."""

    right: Callable[[Setup], bool]
    behind_model: bool = True
    refs: str = "found by running it"

    @property
    def id(self) -> str:
        return self.right.__name__


_NOT_BEHIND_MODEL = False  # the interface does not hand over what it would take

DEFECTS = [
    Defect(every_hit_has_an_id_of_its_own, refs="langgraphjs#1229"),
    Defect(two_nodes_with_one_prompt_both_keep_their_answer, refs="langgraphjs#1229"),
    Defect(a_second_turn_does_not_overwrite_the_first, refs="langgraphjs#1229"),
    Defect(changing_a_live_answer_does_not_change_the_cache),
    Defect(changing_a_hit_does_not_change_the_cache),
    Defect(changing_metadata_of_a_hit_does_not_change_the_cache),
    Defect(changing_content_blocks_of_a_hit_does_not_change_the_cache),
    Defect(an_agents_name_stays_with_the_agent),
    Defect(a_changed_attribute_makes_another_request, _NOT_BEHIND_MODEL, "langchain#39598"),
    Defect(a_changed_copy_of_a_model_makes_another_request, _NOT_BEHIND_MODEL, "langchain#39598"),
    Defect(a_hit_streams_in_pieces_without_a_call, _NOT_BEHIND_MODEL, "langchain#13119, #27741"),
    Defect(a_hit_adds_nothing_to_the_tokens_counted),
    Defect(a_hit_of_a_model_without_usage_fits_the_schema),
    Defect(metadata_of_earlier_answers_is_not_part_of_the_request, refs="langchain#33883"),
    Defect(usage_of_earlier_answers_is_not_part_of_the_request, refs="langchain#33883"),
    Defect(tool_call_ids_are_not_part_of_the_request, refs="langchain#31949"),
    Defect(equivalent_histories_are_one_request),
    Defect(a_history_with_a_hit_in_it_is_the_same_request, refs="langchain#35308"),
    Defect(the_order_of_tools_is_not_part_of_the_request, _NOT_BEHIND_MODEL),
    Defect(the_order_of_a_schemas_keys_is_not_part_of_the_request, _NOT_BEHIND_MODEL),
    Defect(schemas_of_one_name_are_two_requests, _NOT_BEHIND_MODEL),
    Defect(retries_and_timeouts_are_not_part_of_the_request, _NOT_BEHIND_MODEL),
]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.id)
def test_the_middleware_gets_it_right(defect: Defect) -> None:
    assert defect.right(middleware())


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.id)
def test_the_wrapped_model_gets_it_right(defect: Defect) -> None:
    assert defect.right(wrapper())


@pytest.mark.parametrize("defect", [d for d in DEFECTS if d.behind_model], ids=lambda d: d.id)
def test_the_cache_behind_a_model_gets_it_right(defect: Defect) -> None:
    assert defect.right(exact())


@pytest.mark.parametrize("setup", [exact, middleware, wrapper, langchain], ids=lambda s: s.__name__)
def test_no_cache_mixes_up_tool_results(setup: Callable[[], Setup]) -> None:
    assert answers_are_matched_to_their_calls(setup())


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.id)
def test_record_of_upstream(defect: Defect, record_property: Callable[[str, object], None]) -> None:
    """A record, not a demand: skips with a remark once LangChain's own cache gets it right."""
    fixed = defect.right(langchain())
    record_property("langchain", "right" if fixed else "defect")
    if fixed:
        pytest.skip(f"LangChain's InMemoryCache gets this right now ({defect.refs})")


@pytest.mark.parametrize("defect", [d for d in DEFECTS if not d.behind_model], ids=lambda d: d.id)
def test_record_of_what_the_interface_withholds(defect: Defect) -> None:
    """`ExactCache` says that this is out of its reach; skips with a remark once it no longer is."""
    if defect.right(exact(MemoryStore())):
        pytest.skip("now within reach of a BaseCache: the docstring of ExactCache can say so")
