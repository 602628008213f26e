"""Configuration made into what the libraries take.

No resource has a field for a secret: connection strings come from the environment when they are needed, so that none of them can
be written into a run's config.
"""
