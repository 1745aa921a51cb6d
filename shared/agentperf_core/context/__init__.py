"""What a model is shown of a conversation: whole turns, a window, and what fits beside it."""

from agentperf_core.context.conversation import Conversation
from agentperf_core.context.fit import ContextFitter, Fitted
from agentperf_core.context.recall import Recall, Recalled
from agentperf_core.context.recalling import RecallSettings
from agentperf_core.context.records import ContextOverflow, Cut
from agentperf_core.context.settings import WindowSettings
from agentperf_core.context.sliding import SlidingWindow, View
from agentperf_core.context.summaries import (
    ChatSummarizer,
    Coverage,
    RollingSummary,
    Summarize,
    SummarizingTrimmer,
    Summary,
    SummarySettings,
    Trimmed,
    TrimmerPool,
    Written,
    trim_settings,
)
from agentperf_core.context.turns import Changed, Repaired, Turn, Unit, repaired, turns_of, units_of
from agentperf_core.context.window import Evicted, Window

__all__ = [
    "Changed",
    "ChatSummarizer",
    "ContextFitter",
    "ContextOverflow",
    "Conversation",
    "Coverage",
    "Cut",
    "Evicted",
    "Fitted",
    "Recall",
    "RecallSettings",
    "Recalled",
    "Repaired",
    "RollingSummary",
    "SlidingWindow",
    "Summarize",
    "SummarizingTrimmer",
    "Summary",
    "SummarySettings",
    "Trimmed",
    "TrimmerPool",
    "Turn",
    "Unit",
    "View",
    "Window",
    "WindowSettings",
    "Written",
    "repaired",
    "trim_settings",
    "turns_of",
    "units_of",
]
