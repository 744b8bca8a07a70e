"""Benchmarks: scripts with committed results; everything runs as a module, from the root of the repository."""
