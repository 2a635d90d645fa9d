"""Leaf package: ids, typed events and records, wire messages, limits, and law as data."""
