"""Prompt compression in LangChain: agents, chains and retrieved documents."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langgraph.checkpoint.memory import InMemorySaver
from scripted_models import ScriptedChat, call, say

from agentperf_core.context.compress import Compressor, Extractive
from agentperf_core.errors import ConfigError
from agentperf_core.events import BUS
from langchain_agentperf import (
    PromptCompressionMiddleware,
    PromptDocumentCompressor,
    compress_messages,
    rewriting_strategy,
)

PAGE = (
    "We sell shoes and hats in Oslo. " * 60 + "Returns take 30 days. " + "Snow fell all day. " * 60
)
QUERY = "How long do returns take?"


def search(topic: str) -> str:
    """Search the handbook."""
    return f"About {topic}. {PAGE}"


class Script:
    """Calls the tool once per user message; keeps every prompt."""

    def __init__(self) -> None:
        self.prompts: list[list[BaseMessage]] = []

    def __call__(self, number: int, messages: list[BaseMessage]) -> AIMessage:
        self.prompts.append(messages)
        if isinstance(messages[-1], HumanMessage):
            return say("", call("search", f"c{number}", topic=f"shop {number}"))
        return say("30 days.")

    @property
    def results(self) -> list[str]:
        return [str(m.content) for m in self.prompts[-1] if isinstance(m, ToolMessage)]


class ByTopic(Embeddings):
    """One dimension per topic, whatever words speak of it."""

    def __init__(self) -> None:
        self.asked = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.asked += 1
        return [[0.01, float("30 days" in text or "refund" in text)] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def agent(script: Script, **options: Any) -> Any:
    settings: dict[str, Any] = {"ratio": 5, **options}
    middleware = PromptCompressionMiddleware(**settings)
    model = ScriptedChat(answer=script)
    return create_agent(model, [search], middleware=[middleware], checkpointer=InMemorySaver())


def ask(graph: Any, text: str = QUERY) -> dict[str, Any]:
    return graph.invoke({"messages": [text]}, {"configurable": {"thread_id": "t"}})


def test_the_model_reads_the_short_result_and_the_state_keeps_the_long_one():
    script = Script()
    state = ask(agent(script))
    assert "Returns take 30 days." in script.results[0]
    assert len(script.results[0]) < len(PAGE) / 4
    kept = [m.content for m in state["messages"] if isinstance(m, ToolMessage)]
    assert kept == [search("shop 1")]


def test_the_answer_says_what_was_saved():
    state = ask(agent(Script()))
    mark = state["messages"][-1].response_metadata["agentperf"]["compression"]
    assert mark["messages"] == 1
    assert mark["saved_tokens"] > 300
    assert (mark["over_target"], mark["faults"]) == (0, [])
    assert "agentperf" not in state["messages"][1].response_metadata
    json.dumps(mark)


async def test_async_agents_get_the_same():
    sync, other = Script(), Script()
    ask(agent(sync))
    await agent(other).ainvoke({"messages": [QUERY]}, {"configurable": {"thread_id": "t"}})
    assert sync.results == other.results


def test_each_prompt_begins_with_the_one_before_it():
    """Through a checkpointer, over several turns, with a middleware made anew in between."""
    script = Script()
    saver = InMemorySaver()
    for text in (QUERY, "Did it snow?", "What do you sell?"):
        middleware = PromptCompressionMiddleware(ratio=5)
        model = ScriptedChat(answer=script)
        graph = create_agent(model, [search], middleware=[middleware], checkpointer=saver)
        ask(graph, text)
    for before, after in pairwise(script.prompts):
        assert [m.content for m in after[: len(before)]] == [m.content for m in before]
    assert "Returns take 30 days." in script.results[0]
    assert "Snow fell" in script.results[1]


def test_small_results_and_named_tools_are_left_alone():
    for options in ({"min_tokens": 10_000}, {"skip_tools": ("search",)}):
        script = Script()
        state = ask(agent(script, **options))
        assert script.results == [search("shop 1")]
        assert "agentperf" not in state["messages"][-1].response_metadata


def test_embeddings_of_langchain_are_asked():
    embeddings = ByTopic()
    script = Script()
    ask(agent(script, embeddings=embeddings), "What about a refund?")
    assert "30 days" in script.results[0]
    assert embeddings.asked == 1


def test_a_compressor_that_fails_costs_nothing_but_the_saving():
    def broken(text: str, tokens: int, query: str) -> str:
        raise RuntimeError(text)

    script = Script()
    middleware = PromptCompressionMiddleware(Compressor([broken], min_tokens=100))
    graph = create_agent(ScriptedChat(answer=script), [search], middleware=[middleware])
    state = ask(graph)
    assert script.results == [search("shop 1")]
    mark = state["messages"][-1].response_metadata["agentperf"]["compression"]
    assert mark["faults"] == ["broken: it raised RuntimeError"]
    assert mark["saved_tokens"] == 0


def test_blocks_of_a_result_that_are_no_text_stay():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content: Any = [{"type": "text", "text": PAGE}, picture]
    given = [
        HumanMessage(QUERY),
        ToolMessage(content, tool_call_id="c", artifact={"raw": 1}, id="m"),
    ]
    found = compress_messages(given, ratio=5)[1]
    assert isinstance(found, ToolMessage)
    assert found.content[1] == picture
    assert "30 days" in str(found.content[0])
    assert (found.artifact, found.id, found.tool_call_id) == ({"raw": 1}, "m", "c")
    assert given[1].content == content


async def test_a_runnable_stands_in_front_of_a_model():
    script = Script()
    prompt = ChatPromptTemplate.from_messages([("human", "{documents}\n\n{question}")])
    chain = prompt | compress_messages(ratio=5, roles=("user",)) | ScriptedChat(answer=script)
    given = {"documents": PAGE, "question": QUERY}
    chain.invoke(given)
    await chain.ainvoke(given)
    one, two = (str(messages[0].content) for messages in script.prompts)
    assert one == two
    assert one.endswith(f"\n\n{QUERY}")
    assert "Returns take 30 days." in one
    assert len(one) < len(PAGE) / 4


def test_documents_are_chosen_against_one_another_and_never_changed_in_place():
    documents = [Document(f"{PAGE} {n}", id=str(n), metadata={"n": n}) for n in range(3)]
    documents += [Document("Cats sleep. " * 60, id="3"), Document("", id="4")]
    before = [document.page_content for document in documents]
    found = PromptDocumentCompressor(ratio=100).compress_documents(documents, QUERY)
    assert [document.page_content for document in documents] == before
    assert found[-1] is documents[4]
    assert "3" not in [document.id for document in found]
    assert {document.id: document.metadata for document in found[:-1]}.items() <= {
        str(n): {"n": n} for n in range(3)
    }.items()
    assert "30 days" in found[0].page_content


async def test_async_document_compression_is_the_same():
    documents = [Document(PAGE), Document("Cats sleep. " * 60)]
    one, two = PromptDocumentCompressor(ratio=9), PromptDocumentCompressor(ratio=9)
    assert one.compress_documents(documents, QUERY) == await two.acompress_documents(
        documents, QUERY
    )


def test_a_rewriting_model_is_not_heard_in_the_stream_of_the_agent():
    class Words:
        def __call__(self, number: int, messages: list[BaseMessage]) -> AIMessage:
            return say("Returns take 30 days, in Oslo.")

    helper = ScriptedChat(answer=Words())
    script = Script()
    compressor = Compressor([rewriting_strategy(helper, keep=0)], min_tokens=100)
    graph: Any = create_agent(
        ScriptedChat(answer=script), [search], middleware=[PromptCompressionMiddleware(compressor)]
    )
    heard = [
        chunk.content
        for chunk, _ in graph.stream({"messages": [QUERY]}, stream_mode="messages")
        if not isinstance(chunk, ToolMessage)
    ]
    assert helper.calls == 1
    assert script.results == ["Returns take 30 days, in Oslo."]
    assert "".join(map(str, heard)) == "30 days."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compressor": Compressor(), "ratio": 2}, r"got \['ratio'\] besides"),
        ({"compressor": Compressor(), "embeddings": ByTopic()}, r"got \['embeddings'\] besides"),
        ({"embeddings": "minilm"}, "embeddings must be a Embeddings"),
        ({"compressor": Extractive()}, "compressor must be a Compressor"),
        ({"roles": ("ai",)}, "roles are among"),
        ({"roles": None}, "roles are a list, of .*, got None"),
        ({"ratio": None}, "ratio must be a number"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        PromptCompressionMiddleware(**options)


def test_a_message_that_cannot_be_read_is_sent_as_it_is(monkeypatch: pytest.MonkeyPatch):
    before = BUS.faults().get("context.compress.messages", 0)

    def broken(message: BaseMessage) -> Any:
        raise AttributeError("content")

    monkeypatch.setattr("langchain_agentperf.middleware.prompt_compression.to_core", broken)
    script = Script()
    ask(agent(script))
    assert script.results == [search("shop 1")]
    assert BUS.faults()["context.compress.messages"] == before + 2


STATE: Any = {"messages": [HumanMessage(QUERY)]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (STATE, r"pass state\['messages'\]"),
        (
            {"role": "user", "content": "Hi"},
            "messages are a list, got one 'dict'; put it in a list",
        ),
        ("Hi", "messages are a list, got one 'str'"),
        (HumanMessage("Hi"), "messages are a list, got one 'HumanMessage'"),
        ([3], r"got 'list' \(NotImplementedError\); give messages"),
        (3, r"got 'int' \(TypeError\); give messages"),
    ],
)
def test_what_is_no_list_of_messages_is_refused(given: Any, message: str):
    """The keys of an agent's state were read as what users say, and letters of a text, too."""
    with pytest.raises(ConfigError, match=message):
        compress_messages(given)
    with pytest.raises(ConfigError, match=message):
        compress_messages().invoke(given)


@pytest.mark.parametrize("given", ["x", ["x"], None, [None]])
async def test_what_is_no_document_is_refused(given: Any):
    with pytest.raises(ConfigError, match="Document is needed here, got "):
        PromptDocumentCompressor().compress_documents(given, QUERY)
    with pytest.raises(ConfigError, match="Document is needed here, got "):
        await PromptDocumentCompressor().acompress_documents(given, QUERY)


def test_a_rewriting_needs_a_model_at_once():
    """`None` came out at the first text, as a failure that cost the saving and nothing else."""
    wrong: Any
    for wrong in (None, "gpt-4o"):
        with pytest.raises(ConfigError, match="a BaseChatModel is needed here, got "):
            rewriting_strategy(wrong)


@pytest.mark.parametrize("run_async", [False, True])
async def test_a_tool_may_return_a_megabyte(run_async: bool):
    """Ten of them held an agent for 50 s."""
    page = "".join(f"Room {n} has {n % 5} chairs.\n" for n in range(24_000)) + PAGE

    def read(topic: str) -> str:
        """Read it."""
        return page

    class Reading(Script):
        def __call__(self, number: int, messages: list[BaseMessage]) -> AIMessage:
            found = super().__call__(number, messages)
            return say("", call("read", "c1", topic="x")) if found.tool_calls else found

    script = Reading()
    middleware = PromptCompressionMiddleware(max_tokens=200)
    graph: Any = create_agent(ScriptedChat(answer=script), [read], middleware=[middleware])
    given = {"messages": [QUERY]}
    state = await graph.ainvoke(given) if run_async else graph.invoke(given)
    assert "Returns take 30 days." in script.results[0]
    faults = state["messages"][-1].response_metadata["agentperf"]["compression"]["faults"]
    assert "too many to read closely" in faults[-1]
