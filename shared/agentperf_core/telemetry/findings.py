"""What advice consists of, and from where on a figure is worth a word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from agentperf_core.errors import ConfigError

__all__ = ["Finding", "Thresholds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From where on a figure is worth a word.

    Attributes:
        llm_seconds: one model call longer than this, in seconds.
        llm_share: model calls over this part of the run's wall time (0 to 1).
        tool_seconds: one tool call longer than this, in seconds.
        steps: more model turns than this in one run.
        request_tokens: more input tokens than this in one request.
        min_saving_s: what-ifs that save less than this per report, in seconds, are left out.

    Raises:
        ConfigError: if a threshold is negative or the share is above 1.
    """

    llm_seconds: float = 5.0
    llm_share: float = 0.8
    tool_seconds: float = 2.0
    steps: int = 10
    request_tokens: int = 10_000
    min_saving_s: float = 0.001

    def __post_init__(self) -> None:
        values = (
            self.llm_seconds,
            self.llm_share,
            self.tool_seconds,
            self.steps,
            self.request_tokens,
            self.min_saving_s,
        )
        if min(values) < 0 or self.llm_share > 1:
            msg = f"thresholds are >= 0 and llm_share <= 1, got {self!r}; see Thresholds() defaults"
            raise ConfigError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One piece of advice.

    Attributes:
        rule: stable name of the rule, for filters.
        severity: `"high"` if it touches more than a fifth of the wall time, else `"low"`.
        evidence: the figure that caused it, as a sentence.
        advice: what to change, as a sentence.
        fix: framework name to dotted class name, where the pack or the framework has one.
        saving_s: seconds saved over the report's runs, `None` if the recording cannot tell.
        saving_usd: USD saved over the report's runs, `None` if unknown.
        basis: how the saving was estimated.
    """

    rule: str
    severity: Literal["high", "low"]
    evidence: str
    advice: str
    fix: Mapping[str, str] = field(default_factory=dict[str, str])
    saving_s: float | None = None
    saving_usd: Decimal | None = None
    basis: str = ""

    def __str__(self) -> str:
        saved = [f"{self.saving_s:.2f} s"] if self.saving_s is not None else []
        if self.saving_usd is not None:
            saved.append(f"${self.saving_usd:.4f}")
        saving = f" (saves about {' and '.join(saved)}: {self.basis})" if saved else ""
        return f"{self.evidence} {self.advice}{saving}"
