"""What several steps need and no other room has: failures, notices, options, records in the asset catalog."""
