"""Prompt compression: clean-up, sentences that matter, JSON in columns, a model's shorter words."""

from agentperf_core.context.compress.cleanup import CleanUp
from agentperf_core.context.compress.compressor import Compressor
from agentperf_core.context.compress.extract import AsyncEmbed, Extractive
from agentperf_core.context.compress.facts import Facts, facts_of, lost_facts
from agentperf_core.context.compress.messages import (
    MessageCompressor,
    Shortened,
    compressed_oversize,
)
from agentperf_core.context.compress.perplexity import PerplexityPruning
from agentperf_core.context.compress.phrases import PHRASES, Phrases, load_phrases
from agentperf_core.context.compress.records import Applied, Compressed, Reduced, Removed, Task
from agentperf_core.context.compress.rewrite import Rewriting
from agentperf_core.context.compress.strategy import Function, JointStrategy, Strategy
from agentperf_core.context.compress.structured import Structured

__all__ = [
    "PHRASES",
    "Applied",
    "AsyncEmbed",
    "CleanUp",
    "Compressed",
    "Compressor",
    "Extractive",
    "Facts",
    "Function",
    "JointStrategy",
    "MessageCompressor",
    "PerplexityPruning",
    "Phrases",
    "Reduced",
    "Removed",
    "Rewriting",
    "Shortened",
    "Strategy",
    "Structured",
    "Task",
    "compressed_oversize",
    "facts_of",
    "load_phrases",
    "lost_facts",
]
