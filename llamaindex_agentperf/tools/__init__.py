"""Tool classes: wrappers around any LlamaIndex tool."""
