"""Releasing and redeploying the NMDC Runtime, and what is told about it: GitHub, Rancher, a webhook."""
