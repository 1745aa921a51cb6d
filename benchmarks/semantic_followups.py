"""Claim: a follow-up that was answered in one conversation is not served in another: never for
equal words, in at most 1 of 100 cases for other words; the keys of the peers, which hold the last
message alone, serve all of the first and many of the second.

Conversations are questions of different intents, each answered by the same polite sentence, so that
nothing but the question tells them apart. After each stored follow-up the same one, and one that
says it in other words, is asked in a conversation about something else, in a fresh cache; and again
in its own conversation, where it should be served. The peer's rule is a cosine of the last message.

    python benchmarks/semantic_followups.py --data banking77_train.csv.gz --json out.json
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from _common import table
from _semantic import Vectors, encoded, read_stream

from agentperf_core.cache import AnswerFacts, CacheDecision, CachePolicy, SemanticCache
from agentperf_core.cache.requests.build import build_request
from agentperf_core.cache.requests.keys import MessageParts
from agentperf_core.flow import Step, run

POLITE = "Sure, I can help you with that."
FOLLOW_UPS = (
    ("Can you explain more on this topic?", "Could you explain more on this topic?"),
    ("How long does that take?", "How long will that take?"),
    ("Why is that?", "Why is this the case?"),
    ("Is there a fee for it?", "Is there any fee for it?"),
    ("What do I have to do next?", "What should I do next?"),
    ("Can I do this in the app?", "Can I do that in the app?"),
    ("And if it does not work?", "And what if it doesn't work?"),
    ("Can you give me an example?", "Could you give me one example?"),
)
COSINES = (0.8, 0.9)


class Texts:
    """A codec of answers that are texts."""

    def facts(self, answer: str) -> AnswerFacts:
        return AnswerFacts(finish_reason="stop", text=answer)

    def encode(self, answer: str) -> dict[str, Any]:
        return {"text": answer}

    def decode(self, body: Any, decision: CacheDecision) -> str:
        return body["text"]

    def mark(self, answer: str, decision: CacheDecision) -> str:
        return answer


class Desk:
    """One fresh cache, asked within conversations."""

    def __init__(self, vectors: dict[str, Vectors]) -> None:
        def embed(texts: Sequence[str]) -> Vectors:
            # The probes of the encoder's scale, and turns joined by the cache, come on top.
            missing = [text for text in texts if text not in vectors]
            vectors.update(encoded(missing) if missing else {})
            return np.stack([vectors[text] for text in texts])

        self._policy = CachePolicy(normalise=True)
        self._cache = SemanticCache(
            embed, policy=self._policy, shadow_share=0.0, patience_s=300.0, race="never"
        )

    def ask(self, answer: str, *turns: str) -> str:
        """What is said at the end of a conversation; `answer` is what a call would say."""
        roles = ("user", "assistant")
        request = build_request(
            policy=self._policy,
            model={"class": "m", "model": "m"},
            messages=[MessageParts(roles[n % 2], turn) for n, turn in enumerate(turns)],
        )

        async def areply() -> str:
            return answer

        said = run(self._cache.answer(request, Step(lambda: answer, areply), Texts()))
        self._cache.drain()
        return said


def measure(data: Path, conversations: int, seed: int) -> dict[str, Any]:
    by_intent = {intent: text for text, intent in read_stream(data)}
    questions = sorted(by_intent.values())
    random.Random(seed).shuffle(questions)
    pairs = list(zip(questions, questions[1:] + questions[:1], strict=True))[:conversations]
    texts = [*questions, *(text for pair in FOLLOW_UPS for text in pair)]
    vectors = encoded(texts)
    counts = {"equal": 0, "reworded": 0, "own": 0, "asked": 0}
    fixed = dict.fromkeys(COSINES, 0)
    for (question, other), (stored, again) in product(pairs, FOLLOW_UPS):
        counts["asked"] += 1
        for kind, asked, about in (
            ("equal", stored, other),
            ("reworded", again, other),
            ("own", again, question),
        ):
            desk = Desk(vectors)
            desk.ask("of the first", question, POLITE, stored)
            said = desk.ask("of the second", about, POLITE, asked)
            counts[kind] += said == "of the first"
        for cosine in COSINES:
            fixed[cosine] += float(vectors[stored] @ vectors[again]) >= cosine
    asked = counts["asked"]
    return {
        "follow_ups": asked,
        "wrong_equal": counts["equal"] / asked,
        "wrong_reworded": counts["reworded"] / asked,
        "own_reworded_served": counts["own"] / asked,
        "baselines": {
            f"cosine {cosine:.2f}": {"wrong_equal": 1.0, "wrong_reworded": hits / asked}
            for cosine, hits in fixed.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="CSV with text and intent")
    parser.add_argument("--conversations", type=int, default=77)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    result = measure(args.data, args.conversations, args.seed)
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=2), encoding="utf-8")
    rows = [
        ["ours", result["wrong_equal"], result["wrong_reworded"], result["own_reworded_served"]]
    ]
    rows += [
        [f"last message, {name}", row["wrong_equal"], row["wrong_reworded"], row["wrong_reworded"]]
        for name, row in result["baselines"].items()
    ]
    headers = ["key", "wrong, equal words", "wrong, other words", "served in its own conversation"]
    shown = [[str(name), *(f"{share:.1%}" for share in shares)] for name, *shares in rows]
    print(f"{result['follow_ups']} follow-ups\n\n{table(headers, shown)}")


if __name__ == "__main__":
    main()
