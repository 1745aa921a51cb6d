"""Where finished runs go: one file per destination, nothing imported before it is used."""

from agentperf_core.telemetry.sinks.jsonl import JsonlSink
from agentperf_core.telemetry.sinks.logging import LoggingSink
from agentperf_core.telemetry.sinks.otel import OpenTelemetrySink
from agentperf_core.telemetry.sinks.prometheus import PrometheusSink

__all__ = ["JsonlSink", "LoggingSink", "OpenTelemetrySink", "PrometheusSink"]
