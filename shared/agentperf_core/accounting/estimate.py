"""How many tokens a text has, without a tokenizer: a script-aware estimate.

Byte-pair tokenizers first cut a text where the kind of character changes (letters, digits,
punctuation, line ends) and then cut each piece by frequency. So the estimate replaces every
character by its class, counts the places where a piece begins, adds a share for long pieces, and
charges scripts without spaces per character. Each count has a weight; the weights are fitted on
real text, once for each of the two encodings that most hosted models use (see `_rates`).

Classes: `a` small letter, `A` capital, `0` digit, `_` blank, `n` line end, `.` ASCII punctuation,
`e` other Latin letter, `h` Han, `t` Han outside GB 2312 (Traditional, rare), `k` kana, `g` hangul,
`c` Cyrillic, `l` Greek, `r` Arabic and Hebrew, `d` Indic and South-East Asian, `o` other letters,
`p` wide punctuation, `s` symbols.

What this cannot see: whether a word is common, and the vocabulary of a model that uses neither
encoding. `benchmarks/bench_tokens.py` prints the error for each kind of text.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentperf_core.accounting import _rates

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CL100K", "O200K", "Rates", "classes", "estimate_tokens"]

# First code point of each block beyond ASCII, and its class; a block ends where the next begins.
_BLOCKS = (
    (0x0080, "s"), (0x00C0, "e"), (0x02B0, "s"), (0x0370, "l"), (0x0400, "c"), (0x0530, "o"),
    (0x0590, "r"), (0x0900, "d"), (0x10A0, "o"), (0x1100, "g"), (0x1200, "o"), (0x1780, "d"),
    (0x1800, "o"), (0x1E00, "e"), (0x1F00, "l"), (0x2000, "p"), (0x2070, "s"), (0x2C00, "o"),
    (0x2E80, "h"), (0x3000, "p"), (0x3041, "k"), (0x3130, "g"), (0x3190, "s"), (0x31F0, "k"),
    (0x3200, "s"), (0x3400, "h"), (0x4DC0, "s"), (0x4E00, "h"), (0xA000, "o"), (0xAC00, "g"),
    (0xD800, "s"), (0xF900, "h"), (0xFB00, "e"), (0xFB1D, "r"), (0xFE00, "s"), (0xFE10, "p"),
    (0xFE70, "r"), (0xFF00, "p"), (0xFF66, "k"), (0xFFA0, "g"), (0xFFE0, "s"), (0x10000, "o"),
    (0x1D000, "s"), (0x20000, "h"), (0x33480, "s"),
)  # fmt: skip
_STARTS = [start for start, _ in _BLOCKS]


def _class_of(char: str) -> str:
    if not char.isascii():
        found = _BLOCKS[bisect_right(_STARTS, ord(char)) - 1][1]
        return "t" if found == "h" and not _in_gb2312(char) else found
    if char.isalpha():
        return "A" if char.isupper() else "a"
    if char.isspace():
        return "n" if char in "\r\n" else "_"
    return "0" if char.isdigit() else "."


def _in_gb2312(char: str) -> bool:
    # The 6,763 characters of everyday Simplified Chinese, most of which are one or two tokens.
    try:
        return bool(char.encode("gb2312"))
    except UnicodeEncodeError:
        return False


class _Table(dict[int, str]):
    """Class of each code point, filled as characters turn up; the planes beyond are not kept."""

    def __missing__(self, code: int) -> str:
        found = _class_of(chr(code))
        if code <= 0xFFFF:
            self[code] = found
        return found


_ASCII_TABLE = "".join(_class_of(chr(code)) for code in range(128)).encode().ljust(256, b".")
_TABLE = _Table()


def classes(text: str) -> bytes:
    """The class of every character, with a line end in front so that the first piece begins too.

    Example:
        >>> classes("Hello 42!")
        b'nAaaaa_00.'
    """
    if text.isascii():
        return b"n" + text.encode().translate(_ASCII_TABLE)
    return b"n" + text.translate(_TABLE).encode()


@dataclass(frozen=True, slots=True)
class Rates:
    """Fitted weights for one encoding.

    Attributes:
        encoding: the encoding that the weights were fitted to.
        weights: tokens for each occurrence of a pattern of classes.
        error: relative error that 9 of 10 held-out texts, most of them of 2,000 characters, stay
            under (0.1 means 10 %).
    """

    encoding: str
    weights: Mapping[bytes, float]
    error: float


O200K = Rates("o200k_base", _rates.O200K_WEIGHTS, _rates.O200K_ERROR)
CL100K = Rates("cl100k_base", _rates.CL100K_WEIGHTS, _rates.CL100K_ERROR)


def estimate_tokens(text: str, rates: Rates = O200K) -> int:
    """Estimate the tokens of a text.

    Args:
        text: any text; an empty one has no tokens.
        rates: which encoding to imitate.

    Example:
        >>> estimate_tokens("The parcel arrives tomorrow morning.")
        6
    """
    if not text:
        return 0
    coded = classes(text)
    return max(1, round(sum(w * coded.count(pattern) for pattern, w in rates.weights.items())))
