"""The rules behind `diagnose`: each looks at a report and yields findings with a saving."""

from agentperf_core.telemetry.advice.context import Context, Rule
from agentperf_core.telemetry.advice.model_rules import (
    long_prompts,
    many_steps,
    no_streaming,
    repeated_requests,
    slow_model,
)
from agentperf_core.telemetry.advice.tool_rules import serial_tools, slow_tools

__all__ = ["RULES", "Context", "Rule"]

RULES: tuple[Rule, ...] = (
    slow_model,
    repeated_requests,
    serial_tools,
    slow_tools,
    many_steps,
    long_prompts,
    no_streaming,
)
