"""What a plan and a rehearsal show."""
