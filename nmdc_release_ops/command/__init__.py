"""The command `nmdc-release`: the state of the origin, a check, and archives, from a terminal."""
