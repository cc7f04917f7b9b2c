"""One file per way to metres."""
