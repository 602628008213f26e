"""Blocking writes and allowing them again: one file per strategy, and the choice between them."""
