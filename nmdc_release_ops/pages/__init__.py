"""The page of each release, and the list of all: what was done, how long writes were blocked, how to undo it."""
