"""Where the project keeps its own state on the origin's server."""

STATE_DATABASE = "nmdc_release_ops"
"""Holds the lease, the journals, the saved roles and what runs report: never NMDC's own database."""
