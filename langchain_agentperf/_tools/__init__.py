"""Calls of LangChain tools on their way through the core's executor, cache and substitutes."""
