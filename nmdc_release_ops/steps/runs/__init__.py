"""What Dagster knows of a run: its steps, their times, its tags, why it failed."""
