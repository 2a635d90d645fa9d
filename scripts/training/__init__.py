"""Trains the compression dictionary that nodes share, on the demo's invented records."""
