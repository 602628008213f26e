"""Everything about a schema release: versions, packages, environments, migration paths, reports."""
