"""Checks every document and every reference against the compiled schema."""
