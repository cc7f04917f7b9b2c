"""One file per library that runs networks."""
