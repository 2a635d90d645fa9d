"""Makes test vectors from what others have published."""
