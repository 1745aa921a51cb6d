"""The commands behind `python -m agentperf_core`, one module each."""
