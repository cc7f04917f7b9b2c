"""Scenes, rays, light and colour."""
