"""What a schema release ships: its package, its migrators, release candidates."""
