"""Chat models of the pack."""
