"""What is swapped in, and its comparison with what was there."""
