"""Whatever is asked before, nobody gets an answer that was given under other circumstances."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from semantic_tools import Answer, Codec, asked, bag_of_words

from agentperf_core.cache import CachePolicy, ExactCache
from agentperf_core.cache.embedding.queue import QuestionEmbedder
from agentperf_core.cache.semantic.cache import SemanticCache
from agentperf_core.events import EventBus
from agentperf_core.flow import Step, run

POLICY = CachePolicy(normalise=True, sampled=True)
WORDINGS = (
    "How do I reset the PIN of my debit card?",
    "how do i reset the pin of my debit card",
    "How can I reset the PIN of my debit card?",
)


class Circumstances(NamedTuple):
    """What an answer may depend on, beside the question."""

    tenant: str | None
    model: str
    system: str
    tools: tuple[bytes, ...]
    temperature: float | None
    version: str
    before: tuple[str, ...]

    def request(self, wording: str) -> Any:
        return asked(
            *self.before,
            wording,
            policy=POLICY,
            system=self.system,
            tenant=self.tenant,
            model={"class": "m", "model": self.model},
            tools=self.tools,
            params={} if self.temperature is None else {"temperature": self.temperature},
            version=self.version,
        )


CIRCUMSTANCES = st.builds(
    Circumstances,
    tenant=st.sampled_from([None, "a", "b"]),
    model=st.sampled_from(["small", "large"]),
    system=st.sampled_from(["You are a banker.", "You are a pirate."]),
    tools=st.sampled_from([(), (b'{"name":"pay"}',), (b'{"name":"pay"}', b'{"name":"block"}')]),
    temperature=st.sampled_from([None, 0.0, 0.9]),
    version=st.sampled_from(["", "2"]),
    before=st.sampled_from([(), ("I lost my bag.", "I am sorry."), ("I lost my bag.", "Where?")]),
)


def caches() -> list[ExactCache]:
    encoder = QuestionEmbedder(bag_of_words, name="words")
    semantic = SemanticCache(
        encoder, policy=POLICY, shadow_share=0.0, bus=EventBus(), patience_s=60.0
    )
    return [ExactCache(policy=POLICY, bus=EventBus()), semantic]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Circumstances, str]]:
    """Questions under two circumstances that differ in one thing."""
    one, another = draw(CIRCUMSTANCES), draw(CIRCUMSTANCES)
    name = draw(st.sampled_from(Circumstances._fields))
    pair = (one, one._replace(**{name: getattr(another, name)}))
    asked_under = st.tuples(st.sampled_from(pair), st.sampled_from(WORDINGS))
    return draw(st.lists(asked_under, min_size=2, max_size=8))


@pytest.mark.parametrize("kind", [0, 1], ids=["exact", "semantic"])
@given(history=histories())
@settings(max_examples=60, deadline=None)
def test_an_answer_is_given_under_its_own_circumstances_alone(
    kind: int, history: list[tuple[Circumstances, str]]
) -> None:
    cache, seen = caches()[kind], set[tuple[Circumstances, str]]()
    for circumstances, wording in history:

        def reply(own: str = repr(circumstances)) -> Answer:
            return Answer(own)

        async def areply(own: str = repr(circumstances)) -> Answer:
            return Answer(own)

        request = circumstances.request(wording)
        answer = run(cache.answer(request, Step(reply, areply), Codec()))
        cache.drain()
        assert answer.text == repr(circumstances)
        assert answer.decision is not None
        event(answer.decision.tier if answer.decision.served else "a call")
        if (circumstances, wording) in seen:
            assert answer.decision.outcome == "hit"
        seen.add((circumstances, wording))
