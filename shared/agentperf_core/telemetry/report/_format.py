"""Figures as a person reads them; one place, so that the table, the page and the logs agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

    from agentperf_core.telemetry.figures import RunFigures
    from agentperf_core.telemetry.quantiles import Quantile
    from agentperf_core.types import Usage

__all__ = [
    "clean",
    "cost",
    "count",
    "error_type",
    "interval",
    "output_tokens",
    "plural",
    "seconds",
    "share",
    "usd",
]


def seconds(value: float) -> str:
    """A duration in seconds, in the unit that needs the fewest digits.

    Example:
        >>> [seconds(s) for s in (0, 0.0000042, 0.0312, 4.1, 75, 7260)]
        ['0 s', '4 us', '31 ms', '4.10 s', '1 min 15 s', '2 h 01 min']
    """
    if value <= 0:
        return "0 s"
    if value < 0.0009995:
        return f"{max(value * 1e6, 1):.0f} us"
    if value < 0.9995:
        return f"{value * 1e3:.3g} ms" if value < 0.00995 else f"{value * 1e3:.0f} ms"
    if value < 59.995:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def usd(value: Decimal) -> str:
    """An amount in USD; small ones keep two digits that say something.

    Example:
        >>> from decimal import Decimal
        >>> [usd(Decimal(a)) for a in ("0", "12.5", "0.0312", "0.00041", "-0.2")]
        ['$0', '$12.50', '$0.0312', '$0.00041', '-$0.2000']
    """
    sign, size = ("-", -value) if value < 0 else ("", value)
    if not size:
        return "$0"
    if size >= 1:
        return f"{sign}${size:,.2f}"
    digits = 4 if size >= 1e-2 else min(1 - size.adjusted(), 12)
    return f"{sign}${size:.{digits}f}"


def count(value: int) -> str:
    """A whole number with thousands apart."""
    return f"{value:,}"


def plural(value: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> plural(1, "run"), plural(2, "cache hit")
        ('1 run', '2 cache hits')
    """
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


def share(part: float) -> str:
    """A part between 0 and 1 in percent; what is small but there does not read as nothing."""
    percent = part * 100
    if 0 < percent < 0.1:
        return "<0.1 %"
    return f"{percent:.1f} %" if percent < 10 else f"{percent:.0f} %"


def interval(quantile: Quantile) -> str:
    """The 95 % interval of a quantile, or what the sample is too small for."""
    if quantile.low is not None and quantile.high is not None:
        return f"{seconds(quantile.low)} to {seconds(quantile.high)}"
    if quantile.low is not None:
        return f"n={quantile.n}: no upper bound"
    if quantile.high is not None:
        return f"n={quantile.n}: no lower bound"
    return f"n={quantile.n}: no bounds"


def cost(report: RunFigures) -> str:
    """What the calls of a report cost, and how many of them have no known price."""
    if report.cost_usd is None:
        return f"unknown ({plural(report.unpriced_calls, 'unpriced call')})"
    extra = f" + {plural(report.unpriced_calls, 'unpriced call')}" if report.unpriced_calls else ""
    return usd(report.cost_usd) + extra


def output_tokens(usage: Usage) -> str:
    """Output tokens with the reasoning part named."""
    extra = f" ({count(usage.reasoning_tokens)} reasoning)" if usage.reasoning_tokens else ""
    return f"{count(usage.output_tokens)} out{extra}"


def error_type(error: str | None) -> str:
    """The class name at the head of a span's error; the rest may quote a prompt.

    Example:
        >>> error_type("TimeoutError: no answer to 'where is my order?'")
        'TimeoutError'
        >>> error_type(None)
        '_OTHER'
    """
    head = (error or "").partition(":")[0].strip()
    return head if head.replace(".", "").replace("_", "").isalnum() else "_OTHER"


def clean(text: str, limit: int = 200) -> str:
    r"""One printable line: control characters become spaces, what is too long ends in dots.

    Example:
        >>> clean("two\nlines"), clean("abcdef", 4)
        ('two lines', 'a...')
    """
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= limit else f"{line[: max(limit - 3, 0)]}..."
