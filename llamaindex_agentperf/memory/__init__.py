"""Memories: what an agent is shown of its conversation."""
