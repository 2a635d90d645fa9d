"""The video cascade between reception rooms; deliberately empty until it is built."""
