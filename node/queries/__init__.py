"""Read functions for the pages and the API: each takes a read-only connection and returns facts."""
