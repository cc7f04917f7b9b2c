"""Where the pages' own files are."""

from __future__ import annotations

from pathlib import Path

STATIC = Path(__file__).parent / "static"
"""Everything that a page loads is in it."""
