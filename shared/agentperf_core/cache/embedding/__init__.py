"""Texts to vectors: encoders of any kind, asked in batches, off the path and off the loop."""
