"""Trying the semantic tier on labelled questions of one's own, and choosing its setting by that."""
