"""What `plan` prepares before the freeze, and what it clears away."""
