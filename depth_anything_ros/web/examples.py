"""The pictures that come with the demo page; `make examples` makes them again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "examples"


@dataclass(frozen=True)
class Example:
    """A picture to try the page with.

    Attributes:
        name: Its name in requests, and that of its files.
        title: What it shows.
        licence: Who made it, and its licence.
        hfov: Horizontal field of view in degrees, or None.
        has_points: Whether points were measured in it.
    """

    name: str
    title: str
    licence: str
    hfov: float | None = None
    has_points: bool = False

    @property
    def picture(self) -> Path:
        """The JPEG."""
        return _FOLDER / f"{self.name}.jpg"

    @property
    def points(self) -> Path | None:
        """The measured points, columns u, v (pixels) and z (metres); None without any."""
        return _FOLDER / f"{self.name}.csv" if self.has_points else None

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "licence": self.licence,
            "hfov": self.hfov,
            "points": self.has_points,
        }


EXAMPLES = {
    example.name: example
    for example in (
        Example(
            "room",
            "Simulated room with 16 LiDAR beams",
            "made by this package, Apache-2.0",
            80.0,
            has_points=True,
        ),
        Example("coffee", "A cup of coffee", "photograph by Rachel Michetti, CC0"),
        Example("astronaut", "Eileen Collins", "photograph by NASA, public domain"),
    )
}
"""By name, in the order of the page."""
