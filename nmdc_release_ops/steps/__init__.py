"""One op per file, named after the step: read the config, call the library, describe the result."""
