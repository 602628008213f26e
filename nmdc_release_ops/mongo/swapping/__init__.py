"""The swap and the rollback, move by move, and the check that the origin has not changed."""
