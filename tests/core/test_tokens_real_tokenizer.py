"""A real Hugging Face tokenizer, trained on the spot: no download, no stand-in."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from agentperf_core.accounting import TokenCounter
from agentperf_core.types import Message

TEXTS = ["Where is my order?", "A refund takes five working days.", "We ship to Norway."]


@pytest.fixture
def tokenizer() -> Tokenizer:
    """Byte-level BPE with the special tokens that chat models put around a text."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet
    )
    made.train_from_iterator(TEXTS * 20, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return made


@pytest.mark.parametrize("text", [*TEXTS, "", "Grüße, 你好 🙂"])
def test_a_text_counts_what_the_tokenizer_gives_without_its_frame(tokenizer: Tokenizer, text: str):
    counter = TokenCounter(tokenizer)
    assert counter.count_text(text) == len(tokenizer.encode(text, add_special_tokens=False).ids)


def test_messages_count_their_texts_and_the_chat_frame(tokenizer: Tokenizer):
    counter = TokenCounter(tokenizer)
    message = Message(role="user", text=TEXTS[0])
    assert counter.count_messages([message]) > counter.count_text(TEXTS[0])
    assert counter.count_messages([message, message]) > counter.count_messages([message])
