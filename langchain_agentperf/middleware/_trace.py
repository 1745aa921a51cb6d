"""What LangChain's traces keep of our hooks."""

from __future__ import annotations

from typing import Any

from langchain.agents.middleware import types as middleware_types

__all__ = ["TRACE"]

# A hook's trace would hold the whole history a second time. Older langchain has no such policy.
_POLICY: Any = getattr(middleware_types, "TracePolicy", None)
TRACE: Any = _POLICY and _POLICY(process_inputs=middleware_types.omit_payload)
