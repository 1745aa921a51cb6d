"""Summaries of what left a window, written beside the conversation."""

from agentperf_core.context.summaries.chat import ChatSummarizer
from agentperf_core.context.summaries.pool import TrimmerPool
from agentperf_core.context.summaries.records import Coverage, Summary, Trimmed
from agentperf_core.context.summaries.rolling import RollingSummary
from agentperf_core.context.summaries.settings import (
    Summarize,
    SummarySettings,
    Written,
    trim_settings,
)
from agentperf_core.context.summaries.trimmer import SummarizingTrimmer

__all__ = [
    "ChatSummarizer",
    "Coverage",
    "RollingSummary",
    "Summarize",
    "SummarizingTrimmer",
    "Summary",
    "SummarySettings",
    "Trimmed",
    "TrimmerPool",
    "Written",
    "trim_settings",
]
