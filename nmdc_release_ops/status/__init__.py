"""What state the origin is in, how far work on it is, what can be undone, and what to do next."""
