"""Agent middleware of the pack."""
