"""What a release is going to do, and everything that would stop it, found before the origin is frozen. Knows no Dagster."""
