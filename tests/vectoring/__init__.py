"""Makes the test vectors in tests/vectors/ from the product; `scripts/vectors` runs it."""
