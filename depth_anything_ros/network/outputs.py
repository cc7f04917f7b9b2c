"""What a depth network may give, by name, and how it is read."""

from __future__ import annotations

DEPTH = "depth"
"""Depth or disparity by the network's kind; every network gives it, first."""

SKY = "sky"
"""How much a pixel is sky."""

CONFIDENCE = "confidence"
"""How sure the network is, larger is surer."""

SKY_THRESHOLD = 0.3
"""Value of `SKY` from which on a pixel is sky (Depth Anything 3, compute_sky_mask)."""
