"""What the link between a commune and its province takes: bytes, seconds, cuts, a herd."""
