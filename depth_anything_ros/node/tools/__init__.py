"""Nodes beside the depth node: image player, simulated robot, recorder."""
