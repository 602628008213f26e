"""Releasing and redeploying the Runtime: readiness, publication, deployment."""
