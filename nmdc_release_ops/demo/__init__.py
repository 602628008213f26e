"""A synthetic NMDC database of any size, and a private origin to hold it."""
