"""Virtual environments and compiled schemas of schema releases."""
