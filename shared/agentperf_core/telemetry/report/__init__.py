"""A `LatencyReport` for people: a plain table, and a self-contained page."""

from agentperf_core.telemetry.report.html import render_fragment, render_page
from agentperf_core.telemetry.report.table import table
from agentperf_core.telemetry.report.text import render

__all__ = ["render", "render_fragment", "render_page", "table"]
