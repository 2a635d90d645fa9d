"""Benchmarks of the product through its real modules; started by scripts/bench."""
