"""What a model is shown of a conversation: turns, windows, and what fits."""
