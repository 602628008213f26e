"""Where the project keeps its own state on the origin's server."""

STATE_DATABASE = "nmdc_release_ops"
"""Holds the lease, the journals and the saved roles: never NMDC's own database."""
