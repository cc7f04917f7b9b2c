"""Formats that posed views are exported to; one module each."""
