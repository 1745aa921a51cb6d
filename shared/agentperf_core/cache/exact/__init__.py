"""The exact cache: what is stored, how long it may be given, and who makes the call."""
