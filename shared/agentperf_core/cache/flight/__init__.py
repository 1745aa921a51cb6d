"""One call for equal requests: in a process, across processes, and for streams while they come."""
