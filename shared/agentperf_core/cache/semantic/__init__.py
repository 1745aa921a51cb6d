"""The semantic tier: one answer for questions that mean the same, within an error budget."""
