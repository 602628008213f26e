"""What changed between two states of a collection, and the page that shows it."""
