"""Clients of other services: transport, GitHub, workflows, Rancher, webhook."""
