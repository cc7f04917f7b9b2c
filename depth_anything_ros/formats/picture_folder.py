"""Pictures below a folder of this machine, or of a store by its URL."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.media import IMAGE_SUFFIXES, read_image
from depth_anything_ros.formats.remote import is_url, local_copy, stored_at
from depth_anything_ros.frames import RgbImage


class PictureFolder:
    """The pictures of a folder and the folders below it.

    Args:
        place: Path of the folder, or URL.

    Attributes:
        place: The same.
        names: Paths of the pictures below the folder, in alphabetical order.

    Raises:
        InputError: It holds no picture, or cannot be reached.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._urls: dict[str, str] = {}
        if is_url(place):
            stored = stored_at(place, tuple(IMAGE_SUFFIXES), recursive=True)
            self._urls = {each.name: each.url for each in stored}
            names = list(self._urls)
        else:
            folder = Path(place).expanduser()
            found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
            names = [path.relative_to(folder).as_posix() for path in found]
        if not names:
            raise InputError(f"{place} holds no images")
        self.names = sorted(names, key=PurePosixPath)

    def read(self, name: str) -> RgbImage:
        """Read a picture.

        Args:
            name: One of `names`.

        Returns:
            HxWx3 uint8 RGB.

        Raises:
            InputError: It cannot be read.
        """
        if self._urls:
            with local_copy(self._urls[name]) as copy:
                return read_image(copy)
        return read_image(Path(self.place).expanduser() / name)
