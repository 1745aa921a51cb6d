"""A scripted OpenAI-compatible server on loopback: the offline stand-in for a provider.

Why own code: of the mock servers that exist, none offers seeded latency profiles per model, usage
with cached tokens and parallel streamed tool calls in one Python process. `llmock` (a dependency of
our fault tests) scripts faults well, but reports no cached tokens and draws no latency; `aimock`
does most of this and needs Node; `fakellm`, `mockllm` and `llm-mock-api` lack usage in streams,
tool calls or pacing. So this package is that and nothing else: the standard library's threading
HTTP server, one function from request to reply, and the wire format of `/v1/chat/completions`.

What it is not: a model, the Responses API, embeddings, or a check of JSON schemas. It ignores
`max_tokens`, `response_format` and `logprobs`, and rejects `n > 1`.
"""

from agentperf_core.bench.endpoint.backend import RequestRecord
from agentperf_core.bench.endpoint.faults import Fault, FaultKind, FaultPlan
from agentperf_core.bench.endpoint.latency import LatencyProfile, Lognormal
from agentperf_core.bench.endpoint.provider import Provider, provider_from_env
from agentperf_core.bench.endpoint.script import (
    ChatRequest,
    Reply,
    Script,
    ScriptedReplies,
    text_of,
)
from agentperf_core.bench.endpoint.server import ScriptedEndpoint

__all__ = [
    "ChatRequest",
    "Fault",
    "FaultKind",
    "FaultPlan",
    "LatencyProfile",
    "Lognormal",
    "Provider",
    "Reply",
    "RequestRecord",
    "Script",
    "ScriptedEndpoint",
    "ScriptedReplies",
    "provider_from_env",
    "text_of",
]
