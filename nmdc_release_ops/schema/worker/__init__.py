"""Code that runs inside a schema release's own environment. It imports nothing of the rest of the package."""
