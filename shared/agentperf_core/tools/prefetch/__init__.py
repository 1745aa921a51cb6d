"""Prefetch: calls of tools begun on a guess, before the model asks for them."""
