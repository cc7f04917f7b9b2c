"""Measured points and the disparity of networks, of synthetic worlds, as robots have them."""
