"""Everything that touches a MongoDB; knows no Dagster and no schema."""
