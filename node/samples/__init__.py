"""Invented people and matters in plausible places: for the demo, benchmarks and dictionaries."""
