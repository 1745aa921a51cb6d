"""Counting tokens, pricing them, and knowing the models that they go to.

Importing this package loads neither tiktoken nor genai-prices: each is imported when first used.
"""

from agentperf_core.accounting.estimate import estimate_tokens
from agentperf_core.accounting.framing import ChatFormat
from agentperf_core.accounting.functions_api import count_functions_request
from agentperf_core.accounting.pricing import PRICES, PriceBook
from agentperf_core.accounting.profiles import ModelProfile, ModelRegistry
from agentperf_core.accounting.rates import ModelPrice
from agentperf_core.accounting.tokens import CountMethod, TokenCounter, Tokenizer

__all__ = [
    "PRICES",
    "ChatFormat",
    "CountMethod",
    "ModelPrice",
    "ModelProfile",
    "ModelRegistry",
    "PriceBook",
    "TokenCounter",
    "Tokenizer",
    "count_functions_request",
    "estimate_tokens",
]
