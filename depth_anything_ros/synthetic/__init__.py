"""Procedural scenes with exact depth: training data, simulated sensors, tests (torch)."""
