"""Measurements side by side with today's tools; `make bench`. Not part of the package."""
