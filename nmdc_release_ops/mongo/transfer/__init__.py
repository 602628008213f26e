"""Dump, load and stage, and the two engines that do it."""
