"""Outlines of schemas, and what differs between two."""
