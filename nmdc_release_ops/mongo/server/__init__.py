"""Talking to a server: connection, topology, privileges, collections, raw reading and writing, cluster clock."""
