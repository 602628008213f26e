"""Turns a release's LinkML schema into the data that validation needs."""
