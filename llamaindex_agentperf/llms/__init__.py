"""Model classes: wrappers around any LlamaIndex model."""
