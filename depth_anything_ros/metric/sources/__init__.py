"""One file per scale source."""
