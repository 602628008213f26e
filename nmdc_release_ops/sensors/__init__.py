"""What Dagster evaluates on its own: new schema releases, an origin left frozen, failed runs."""
