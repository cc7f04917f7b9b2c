"""Procedural worlds: rooms, streets, open country."""
