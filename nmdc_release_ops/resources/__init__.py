"""From configuration to the objects of the libraries.

No resource has a field for a secret: it reads connection strings from the environment when it needs them, so that no run config
can contain one.
"""
