"""The core of agentperf-pack: everything that decides, measures or stores; knows no framework."""

__version__ = "0.1.0"
