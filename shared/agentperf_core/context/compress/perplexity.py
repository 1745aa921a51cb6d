"""Words that a small language model would have guessed, left out (an option; see its measure).

The idea of Selective Context (Li 2023) and LLMLingua (Jiang 2023). On documents with questions it
keeps no more answers than leaving out sentences at random, at hundreds of times the cost of BM25:
it knows nothing of the question. Its place is text without one, behind `Extractive` or alone.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

from agentperf_core.context.compress._json import parsed
from agentperf_core.context.compress.facts import protected_spans
from agentperf_core.context.compress.records import Reduced, Removed, Task
from agentperf_core.context.compress.sentences import blocks_of
from agentperf_core.context.compress.strategy import computed
from agentperf_core.errors import ConfigError, require_number
from agentperf_core.flow import Flow
from agentperf_core.optional import require

__all__ = ["PerplexityPruning"]

# A word, or one sign of a script without blanks; with the blanks behind it.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]\s*|[^\s\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+\s*"
)
_BEFORE = 4  # one part in so many of a window has been seen before
_ALWAYS = 4 * 10**6  # characters of a text that is not worth a model's time


class PerplexityPruning:
    """Leaves out the words that say least, by the surprise of a causal language model.

    Numbers, names, negations, code, tables and quotes stay. JSON comes back as it is. The model is
    loaded when it is first needed, and serves one text at a time.

    Args:
        model: a folder or a name that transformers can load, or a loaded causal model.
        tokenizer: the tokenizer of a loaded model; default what lies beside it.
        gguf_file: name of a GGUF file in the folder, unpacked as it is loaded, which takes the
            packages `gguf` and `accelerate`.
        device: where it runs, as torch says it.
        window: tokens that the model sees at once, at most.

    Raises:
        ConfigError: if a loaded model comes without its tokenizer, or `window` is below 16; at the
            first text, if the model cannot be loaded (the text stays as it is and says why).
        MissingExtra: at the first text, if torch or transformers are not installed.

    Example:
        >>> PerplexityPruning("HuggingFaceTB/SmolLM2-135M").name
        'perplexity'
    """

    name = "perplexity"

    def __init__(
        self,
        model: Any,
        *,
        tokenizer: Any = None,
        gguf_file: str | None = None,
        device: str = "cpu",
        window: int = 1024,
    ) -> None:
        if not isinstance(model, str) and not hasattr(model, "__fspath__") and tokenizer is None:
            msg = f"a loaded model needs its tokenizer=, got {type(model).__name__!r} alone"
            raise ConfigError(msg)
        require_number("leave it out for 1024", whole=True, window=window)
        if window < 16:
            msg = f"window must be >= 16 tokens, got {window!r}; leave it out for 1024"
            raise ConfigError(msg)
        self._model: Any = model
        self._tokenizer = tokenizer
        self._gguf_file = gguf_file
        self._device = device
        self._window = window
        self._loaded = False
        self._broken: ConfigError | None = None
        self._lock = threading.Lock()

    def compress(self, task: Task) -> Flow[Reduced]:
        """The text without its likeliest words, as many as it takes."""
        if parsed(task.text) is not None or not task.over:
            return Reduced(task.text)
        # A model always takes long enough to leave the event loop.
        return (yield from computed(self._pruned, _ALWAYS, task))

    def _pruned(self, task: Task) -> Reduced:
        text = task.text
        words = [match.span() for match in _WORD.finditer(text)]
        free = _free(text, words)
        with self._lock:
            surprise = self._surprise(text, words)
        order = sorted(free, key=lambda at: surprise[at])
        count = task.counter.count_text
        # The fewest words to leave out, by halving: fewer words are never more tokens.
        low, high = 0, len(order)
        while low < high:
            middle = (low + high) // 2
            if count(_without(text, words, order[:middle])) <= task.tokens:
                high = middle
            else:
                low = middle + 1
        gone = sorted(order[:low])
        pieces = tuple(text[slice(*words[at])].strip() for at in gone)
        return Reduced(_without(text, words, gone), (Removed("word", pieces),))

    def _surprise(self, text: str, words: Sequence[tuple[int, int]]) -> list[float]:
        """Mean surprise of the tokens of each word, in nats; the first word is kept."""
        torch = require("torch", extra="local", purpose="perplexity pruning")
        self._load()
        encoded = self._tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        losses = [float("inf")]
        start = 0
        while start < len(ids) - 1:
            # What comes before says what it is about.
            first = max(start - self._window // _BEFORE, 0)
            part = torch.tensor([ids[first : first + self._window + 1]], device=self._device)
            with torch.inference_mode():
                logits: Any = self._model(part).logits[0, :-1].float()
            likely = torch.log_softmax(logits, -1)
            told = -likely[torch.arange(part.shape[1] - 1), part[0, 1:]]
            losses += told[start - first :].tolist()
            start = first + self._window
        return _per_word(words, offsets, losses)

    def _load(self) -> None:
        if self._loaded:
            return
        if self._broken is not None:
            raise self._broken  # it takes seconds to fail: not once more for every text
        if self._tokenizer is None:
            transformers = require("transformers", extra="local", purpose="perplexity pruning")
            options = {"gguf_file": self._gguf_file} if self._gguf_file else {}
            path = str(self._model)
            try:
                model = transformers.AutoModelForCausalLM.from_pretrained(path, **options)
                tokenizer = transformers.AutoTokenizer.from_pretrained(path, **options)
            except Exception as error:  # whatever transformers says of files that it cannot read
                msg = (
                    f"model must be something that transformers can load, got {path!r}, "
                    f"of which it says {str(error).strip()!r}; give a folder with weights and "
                    "a tokenizer"
                )
                self._broken = ConfigError(msg)
                raise self._broken from error
            self._model, self._tokenizer = model, tokenizer
        self._model = self._model.to(self._device).eval()
        most = getattr(self._model.config, "max_position_embeddings", None)
        self._window = min(self._window, most - 1 if most else self._window)
        self._loaded = True


def _free(text: str, words: Sequence[tuple[int, int]]) -> list[int]:
    """Places of the words that may go."""
    kept = protected_spans(text)
    kept += [(block.start, block.end) for block in blocks_of(text) if block.kind != "prose"]
    kept.sort()
    found: list[int] = []
    at = 0
    for place, (start, end) in enumerate(words):
        while at < len(kept) and kept[at][1] <= start:
            at += 1
        if at >= len(kept) or kept[at][0] >= end:
            found.append(place)
    return found


def _without(text: str, words: Sequence[tuple[int, int]], gone: Sequence[int]) -> str:
    left_out = set(gone)
    parts = [text[: words[0][0]] if words else text]
    for at, (start, end) in enumerate(words):
        word = text[start:end]
        if at in left_out:
            word = word[len(word.rstrip()) :] if "\n" in word else ""  # lines stay lines
        parts.append(word)
    return "".join(parts).rstrip(" ")


def _per_word(
    words: Sequence[tuple[int, int]],
    offsets: Sequence[tuple[int, int]],
    losses: Sequence[float],
) -> list[float]:
    totals, counts = [0.0] * len(words), [0] * len(words)
    at = 0
    for (_, end), loss in zip(offsets, losses, strict=False):
        # A token belongs to the word in which it ends: its blank comes before it.
        while at < len(words) - 1 and end > words[at][1]:
            at += 1
        if words:
            totals[at] += loss
            counts[at] += 1
    return [
        total / count if count else float("inf")
        for total, count in zip(totals, counts, strict=True)
    ]
