"""The code that runs inside a schema release's own environment; imports nothing of the rest."""
