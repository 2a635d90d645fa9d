"""Attacks on real nodes: one module for each theme; started by scripts/attack."""
