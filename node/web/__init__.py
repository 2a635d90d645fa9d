"""Pages, the HTTP API and its OpenAPI document."""
