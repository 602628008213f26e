"""Where the project keeps its own state on the origin's server."""

STATE_DATABASE = "nmdc_release_ops"
"""Lease, journal and saved roles are here, never among NMDC's collections."""
