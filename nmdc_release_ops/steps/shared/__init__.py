"""What several steps need: failures, display, notices, holding the origin frozen."""
