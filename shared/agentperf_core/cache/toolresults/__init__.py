"""The cache of tool results, for tools that are declared safe."""
