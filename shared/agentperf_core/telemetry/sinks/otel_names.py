"""OpenTelemetry's GenAI names, by version of the convention.

Read in `open-telemetry/semantic-conventions-genai` (status "development", no tagged release; its
migration guide lists every change since v1.41.0 of the main repository) and in v1.41.0 itself.
What no convention names (cost, answers from a cache, the critical path) is ours: `agentperf.*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "CONVENTIONS",
    "INSTRUMENTS",
    "PROVIDERS",
    "Convention",
    "Instrument",
    "Semconv",
]

Semconv: TypeAlias = Literal["genai-2026", "1.41"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """The names that differ between versions.

    Attributes:
        schema_url: the published schema, `None` while the convention has no release.
        cache_write: span attribute for input tokens written to the provider's cache.
        inference_s: histogram of a model call's seconds.
        first_chunk_s: histogram of the time to the first chunk.
        chunk_s: histogram of the time between chunks.
        embeddings_s: histogram of an embedding call's seconds.
        embeddings_tokens: histogram of an embedding call's input tokens, where it has its own.
        token_usage: the one histogram for all tokens, split by `gen_ai.token.type`.
        usage: field of `Usage` to the counter of its tokens.
        per_call: field of `Usage` to the histogram of its tokens per call.
        work: whether agents and tools have metrics of their own.
    """

    schema_url: str | None = None
    cache_write: str
    inference_s: str
    first_chunk_s: str
    chunk_s: str
    embeddings_s: str
    embeddings_tokens: str | None = None
    token_usage: str | None = None
    usage: Mapping[str, str] = field(default_factory=dict[str, str])
    per_call: Mapping[str, str] = field(default_factory=dict[str, str])
    work: bool = False


CONVENTIONS: Mapping[Semconv, Convention] = {
    "genai-2026": Convention(
        cache_write="gen_ai.usage.cache_write.input_tokens",
        inference_s="gen_ai.client.inference.duration",
        first_chunk_s="gen_ai.client.inference.time_to_first_chunk",
        chunk_s="gen_ai.client.inference.time_per_output_chunk",
        embeddings_s="gen_ai.client.embeddings.duration",
        embeddings_tokens="gen_ai.client.embeddings.operation.input_tokens",
        usage={
            "input_tokens": "gen_ai.client.inference.usage.input_tokens",
            "output_tokens": "gen_ai.client.inference.usage.output_tokens",
            "cached_input_tokens": "gen_ai.client.inference.usage.cache_read.input_tokens",
            "cache_write_tokens": "gen_ai.client.inference.usage.cache_write.input_tokens",
            "reasoning_tokens": "gen_ai.client.inference.usage.reasoning.output_tokens",
        },
        per_call={
            "input_tokens": "gen_ai.client.inference.operation.input_tokens",
            "output_tokens": "gen_ai.client.inference.operation.output_tokens",
        },
        work=True,
    ),
    "1.41": Convention(
        schema_url="https://opentelemetry.io/schemas/1.41.0",
        cache_write="gen_ai.usage.cache_creation.input_tokens",
        inference_s="gen_ai.client.operation.duration",
        first_chunk_s="gen_ai.client.operation.time_to_first_chunk",
        chunk_s="gen_ai.client.operation.time_per_output_chunk",
        embeddings_s="gen_ai.client.operation.duration",
        token_usage="gen_ai.client.token.usage",  # noqa: S106 - a metric's name
    ),
}


@dataclass(frozen=True, slots=True)
class Instrument:
    """How a metric is created: its unit, what it says, and the convention's bucket boundaries."""

    unit: str
    description: str
    boundaries: tuple[float, ...] | None = None


_SECONDS = tuple(0.01 * 2**i for i in range(14))
_AGENT_SECONDS = tuple(0.1 * 2**i for i in range(13))
_TOKENS = tuple(float(4**i) for i in range(14))
_CALLS = tuple(float(2**i) for i in range(8))


def _instruments() -> dict[str, Instrument]:
    found: dict[str, Instrument] = {
        "gen_ai.invoke_agent.duration": Instrument("s", "Agent run.", _AGENT_SECONDS),
        "gen_ai.invoke_agent.inference_calls": Instrument(
            "{inference_call}", "Model calls of one agent run.", _CALLS
        ),
        "gen_ai.invoke_agent.tool_calls": Instrument(
            "{tool_call}", "Tool calls of one agent run.", _CALLS
        ),
        "gen_ai.execute_tool.duration": Instrument("s", "Tool call.", _SECONDS),
        "agentperf.cache.hits": Instrument("{hit}", "Answers that came from a cache."),
        "agentperf.cost": Instrument("USD", "Price of the calls made."),
    }
    for names in CONVENTIONS.values():
        found[names.inference_s] = Instrument("s", "GenAI client call.", _SECONDS)
        found[names.first_chunk_s] = Instrument("s", "Time to the first chunk.", _SECONDS)
        found[names.chunk_s] = Instrument("s", "Time between output chunks.", _SECONDS)
        found[names.embeddings_s] = Instrument("s", "GenAI client call.", _SECONDS)
        for name in names.usage.values():
            found[name] = Instrument("{token}", "Tokens used.")
        for name in (*names.per_call.values(), names.embeddings_tokens, names.token_usage):
            if name is not None:
                found[name] = Instrument("{token}", "Tokens per call.", _TOKENS)
    return found


INSTRUMENTS: Mapping[str, Instrument] = _instruments()

# What the frameworks call a provider, to the convention's well-known values.
PROVIDERS: Mapping[str, str] = {
    "amazon_bedrock": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "google": "gcp.gen_ai",
    "google_genai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "moonshotai": "moonshot_ai",
    "watsonx": "ibm.watsonx.ai",
    "ibm": "ibm.watsonx.ai",
    "xai": "x_ai",
}
