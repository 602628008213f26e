"""The page and the summary of a release."""
