"""What the project keeps on the origin's server: lease, heartbeat, journal, ledger, names of generations."""
