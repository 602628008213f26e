"""References and ids, and which of their violations the archive already shows."""
