"""What is measured: a file per part, each with `measure`, which yields rows."""
