"""Caches for `set_llm_cache(...)` and `model.cache`, behind LangChain's own interface."""
