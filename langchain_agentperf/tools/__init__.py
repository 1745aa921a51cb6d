"""Tools outside of agents: a runnable executor, a node for graphs, and tools behind a cache."""
