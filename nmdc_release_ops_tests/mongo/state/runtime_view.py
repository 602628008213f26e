"""The view of the ledger that the NMDC Runtime creates, which knows no rollback."""

RUNTIME_S_VIEW = [
    {"$sort": {"created_at": -1}},
    {"$limit": 1},
    {
        "$project": {
            "_id": 0,
            "schema_version": {
                "$cond": {
                    "if": {"$eq": ["$event", "MIGRATION_COMPLETED"]},
                    "then": "$to_schema_version",
                    "else": None,
                }
            },
        }
    },
]
"""The pipeline of nmdc-runtime's Bookkeeper."""
