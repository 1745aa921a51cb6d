"""Node postprocessors of the pack."""
