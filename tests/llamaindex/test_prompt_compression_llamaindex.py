"""Prompt compression in LlamaIndex: retrieved nodes and the outputs of tools."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import ImageNode, Node, NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import FunctionTool
from llamaindex_tools import ScriptedLLM, calls, says

from agentperf_core.context.compress import Compressor
from agentperf_core.errors import ConfigError
from llamaindex_agentperf import (
    PromptCompressionPostprocessor,
    compressed_output,
    rewriting_strategy,
)

PAGE = (
    "We sell shoes and hats in Oslo. " * 30 + "Returns take 30 days. " + "Snow fell all day. " * 30
)
QUERY = "How long do returns take?"


class ByTopic(BaseEmbedding):
    """One dimension per topic, whatever words speak of it."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [0.01, float("30 days" in text or "refund" in text)]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        await asyncio.sleep(0)
        return self._get_text_embedding(query)


def scored(*texts: str) -> list[NodeWithScore]:
    return [
        NodeWithScore(node=TextNode(text=text, id_=str(n), metadata={"n": n}), score=1 - n / 10)
        for n, text in enumerate(texts)
    ]


def shortened(
    nodes: list[NodeWithScore], query: str = QUERY, **options: Any
) -> list[NodeWithScore]:
    return PromptCompressionPostprocessor(**options).postprocess_nodes(nodes, query_str=query)


def test_nodes_are_chosen_against_one_another_and_those_of_the_index_stay():
    nodes = scored(PAGE, "Cats sleep. " * 90, PAGE.replace("take 30", "of hats take 10"))
    before = [node.text for node in nodes]
    found = shortened(nodes, ratio=60)
    assert [node.text for node in nodes] == before
    assert [node.node_id for node in found] == ["0", "2"]
    assert ["30 days" in found[0].text, "10 days" in found[1].text] == [True, True]
    assert [(node.score, node.metadata) for node in found] == [(1.0, {"n": 0}), (0.8, {"n": 2})]
    assert sum(len(node.text) for node in found) < sum(map(len, before)) / 20


async def test_async_is_the_same():
    nodes = scored(PAGE, "Cats sleep. " * 90)
    found = await PromptCompressionPostprocessor(ratio=9).apostprocess_nodes(nodes, query_str=QUERY)
    assert [n.text for n in found] == [n.text for n in shortened(nodes, ratio=9)]


@pytest.mark.parametrize("run_async", [False, True])
async def test_an_embedding_model_finds_other_words(run_async: bool):
    post = PromptCompressionPostprocessor(embed_model=ByTopic(), ratio=40)
    nodes, query = scored(PAGE), QueryBundle("What about a refund?")
    found = (
        await post.apostprocess_nodes(nodes, query)
        if run_async
        else post.postprocess_nodes(nodes, query)
    )
    assert "30 days" in found[0].text


def test_nodes_of_other_kinds_pass_and_new_kinds_of_text_are_shortened():
    picture = NodeWithScore(node=ImageNode(image="AAAA"))
    modern = NodeWithScore(node=Node(id_="m"))
    modern.node.set_content(PAGE)
    found = shortened([picture, modern], ratio=9)
    assert found[0] is picture
    assert "30 days" in found[1].node.get_content()
    assert modern.node.get_content() == PAGE


def test_small_nodes_are_left_alone():
    nodes = scored("Returns take 30 days. Snow fell.")
    assert shortened(nodes, min_tokens=100) == nodes
    assert shortened(nodes, min_tokens=100)[0] is nodes[0]


def test_a_query_engine_answers_from_the_short_nodes():
    index = VectorStoreIndex.from_documents([Document(text=PAGE)], embed_model=ByTopic())
    engine = RetrieverQueryEngine(
        index.as_retriever(),
        response_synthesizer=get_response_synthesizer(llm=MockLLM()),
        node_postprocessors=[PromptCompressionPostprocessor(ratio=20)],
    )
    answer = engine.query(QUERY)
    assert "30 days" in answer.source_nodes[0].text
    assert len(answer.source_nodes[0].text) < len(PAGE) / 10
    assert "shoes and hats in Oslo. We sell" not in str(answer)


def test_its_settings_survive_json():
    given = PromptCompressionPostprocessor(ratio=7, max_tokens=500, min_tokens=3)
    made = PromptCompressionPostprocessor.from_dict(json.loads(given.to_json()))
    assert (made.ratio, made.max_tokens, made.min_tokens) == (7, 500, 3)
    assert made.to_dict()["class_name"] == "PromptCompressionPostprocessor"
    assert [n.text for n in made.postprocess_nodes(scored(PAGE), query_str=QUERY)] == [
        n.text for n in given.postprocess_nodes(scored(PAGE), query_str=QUERY)
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compressor": Compressor(), "ratio": 2}, r"got \['ratio'\] besides"),
        ({"compressor": Compressor(), "embed_model": ByTopic()}, r"got \['embed_model'\] besides"),
        ({"ratio": 0.1}, "ratio says how many times smaller"),
        ({"embed_model": "local"}, "embed_model must be a BaseEmbedding"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        PromptCompressionPostprocessor(**options)


async def test_an_agent_reads_the_short_output_of_its_tool():
    orders = [{"order": n, "state": "sent"} for n in range(200)]

    def list_orders() -> list[dict[str, Any]]:
        """All orders."""
        return orders

    tool = FunctionTool.from_defaults(list_orders, callback=compressed_output(ratio=4))
    script = iter([calls(("list_orders", {})), says("done")])
    llm = ScriptedLLM(lambda messages: next(script))
    agent = FunctionAgent(llm=llm, tools=[tool])
    await agent.run(user_msg="Orders?")  # pyright: ignore[reportDeprecated] - picks the wrong overload
    read = json.loads(str(llm.seen[-1][-1].content))
    assert read["columns"] == ["order", "state"]
    assert read["left_out"] == f"{200 - len(read['rows'])} of 200 rows"
    assert (await tool.acall()).raw_output == orders


def test_small_outputs_and_other_kinds_stay_the_tools_own():
    callback = compressed_output()
    assert [callback(one) for one in ("short", None, 3, {"a": 1}, {"a": object()})] == [None] * 5


def test_an_llm_rewrites_where_the_facts_survive():
    llm = ScriptedLLM(lambda messages: says("Returns take 30 days, Oslo."))
    compressor = Compressor([rewriting_strategy(llm)], ratio=3)
    found = compressor.compress(
        "As far as we in Oslo can tell, returns will, as it were, take 30 days."
    )
    assert found.text == "Returns take 30 days, Oslo."


async def test_an_llm_rewrites_async_too():
    llm = ScriptedLLM(lambda messages: says("Returns take 3 days."))
    text = "As far as anybody can tell, returns will, as it were, take 30 days."
    found = await Compressor([rewriting_strategy(llm)], ratio=3).acompress(text)
    assert found.text == text
    assert found.faults == ("rewriting: the wording of the model has 1 number of its own",)


@pytest.mark.parametrize("given", ["x", ["x"], None, [TextNode(text="x")]])
async def test_what_is_no_node_with_a_score_is_refused(given: Any):
    with pytest.raises(ConfigError, match="NodeWithScore is needed here, got "):
        PromptCompressionPostprocessor().postprocess_nodes(given, query_str=QUERY)
    with pytest.raises(ConfigError, match="NodeWithScore is needed here, got "):
        await PromptCompressionPostprocessor().apostprocess_nodes(given, query_str=QUERY)


def test_a_misspelt_argument_is_refused():
    """`min_token=500` was ignored, and small nodes were shortened after all."""
    with pytest.raises(
        ConfigError, match=r"fields of PromptCompressionPostprocessor, got \['min_t"
    ):
        PromptCompressionPostprocessor(min_token=500)


def test_a_rewriting_needs_an_llm_at_once():
    wrong: Any
    for wrong in (None, "gpt-4o"):
        with pytest.raises(ConfigError, match="a BaseLLM is needed here, got "):
            rewriting_strategy(wrong)


@pytest.mark.parametrize("options", [{"compressor": "x"}, {"ratio": None}, {"min_tokens": "x"}])
def test_an_output_needs_settings_that_can_be_meant(options: dict[str, Any]):
    with pytest.raises(ConfigError):
        compressed_output(**options)
