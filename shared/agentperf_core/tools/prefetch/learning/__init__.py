"""Rules of prefetch learnt from recorded runs."""
