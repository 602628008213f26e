"""Releasing and deploying the NMDC Runtime."""
