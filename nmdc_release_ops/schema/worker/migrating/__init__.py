"""Runs one of the release's migrators on the transformer, and notes what it touches."""
