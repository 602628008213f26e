"""What a schema release says, in outline, and what differs between two of them."""
