"""Judging documents by a schema: what validation and audits do alike."""
