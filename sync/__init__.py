"""Replication: documents, the signed log, the sans-IO session, scope and the store."""
