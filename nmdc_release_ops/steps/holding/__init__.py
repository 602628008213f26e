"""Holding the origin frozen, and thawing it."""
