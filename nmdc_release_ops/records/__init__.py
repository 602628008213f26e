"""What steps hand to each other. Each record is kept as JSON, so that any step can be re-executed in another process
on another day. None holds a secret.

The digest of its content identifies a record. A record holds the digests of those that it was made from: see `lineage`.
"""
