"""Procedural scenes, made on demand or kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from depth_anything_ros.errors import SettingError, reading
from depth_anything_ros.formats.media import encoded
from depth_anything_ros.formats.whole_file import whole_file
from depth_anything_ros.training.mixture import BLOCK
from depth_anything_ros.training.samples import Sample, Source
from depth_anything_ros.training.sources import SOURCES, SourceKind, SourceRecipe


class SyntheticSource:
    """Procedural scenes without end (see `synthetic.generator`).

    Args:
        width: Columns of the pictures.
        height: Rows of the pictures.
        seed: Decides everything.
        photos: Folder of photographs for textures, or None.
        kinds: Kinds of world; all by their usual shares when empty.
        device: Where rays are traced.
    """

    def __init__(
        self,
        width: int = 256,
        height: int = 192,
        seed: int = 0,
        photos: Path | None = None,
        kinds: Sequence[str] = (),
        device: str = "cpu",
    ) -> None:
        from depth_anything_ros.synthetic.generator import Generator

        self._generator = Generator(width, height, seed, photos, device, kinds)
        self._block: tuple[int, list[Sample]] | None = None

    def __len__(self) -> int:
        """0: there is no end."""
        return 0

    def sample(self, number: int) -> Sample:
        """Get one picture; pictures are made in blocks, so take neighbours one after another."""
        block, place = divmod(number, BLOCK)
        if self._block is None or self._block[0] != block:
            first = block * BLOCK
            images = self._generator.images(range(first, first + BLOCK))
            samples = [
                Sample(
                    image.rgb,
                    np.where(image.valid, image.depth, np.float32(np.nan)),
                    focal=image.camera.fx,
                )
                for image in images
            ]
            self._block = block, samples
        return self._block[1][place]

    def focal(self, number: int) -> float:
        """Focal length along x of a picture, in pixels, without making it."""
        return self._generator.camera(number).fx


class StoredSynthetic:
    """A number of procedural scenes, kept on disk once they are made.

    Making a picture costs a CPU about as much as learning from it; a run of several epochs makes
    each once. Files hold JPEG and depth as float16, so a stored picture is a little rougher than a
    fresh one, in the first epoch as in all others.

    Args:
        source: Where they come from.
        pictures: How many there are.
        folder: Where they are kept.
    """

    def __init__(self, source: SyntheticSource, pictures: int, folder: Path) -> None:
        self._source, self._pictures, self._folder = source, pictures, folder
        folder.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        """Number of pictures."""
        return self._pictures

    def sample(self, number: int) -> Sample:
        """Get one picture; its whole block is made and kept when it is not there."""
        path = self._path(number)
        if not path.exists():
            first = number - number % BLOCK
            for neighbour in range(first, min(first + BLOCK, self._pictures)):
                self._keep(self._path(neighbour), self._source.sample(neighbour))
        with (
            reading(path, "a stored picture (delete it)"),
            np.load(path, allow_pickle=False) as file,
        ):
            bgr = np.asarray(cv2.imdecode(file["jpeg"], cv2.IMREAD_COLOR))
            depth = file["depth"].astype(np.float32)
        rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        return Sample(rgb, depth, focal=self._source.focal(number))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number // 1000:04d}" / f"{number:07d}.npz"

    def _keep(self, path: Path, sample: Sample) -> None:
        assert sample.depth is not None
        path.parent.mkdir(exist_ok=True)
        bgr = np.asarray(cv2.cvtColor(sample.rgb, cv2.COLOR_RGB2BGR))
        jpeg = np.frombuffer(encoded(bgr, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95]), np.uint8)
        with whole_file(path) as part:  # several workers may make the same block
            np.savez(part, jpeg=jpeg, depth=sample.depth.astype(np.float16))


def _open(recipe: SourceRecipe, seed: int) -> Source:
    if bool(recipe.store) != (recipe.pictures > 0):
        raise SettingError(
            f"store is '{recipe.store}' and pictures {recipe.pictures}; a synthetic source needs "
            "both or neither"
        )
    source = SyntheticSource(
        recipe.width,
        recipe.height,
        seed if recipe.seed < 0 else recipe.seed,
        recipe.folder if recipe.path else None,
        recipe.worlds,
        recipe.device,
    )
    if not recipe.store:
        return source
    return StoredSynthetic(source, recipe.pictures, Path(recipe.store).expanduser())


SOURCES.register(
    SourceKind("synthetic", "procedural worlds with exact depth", _open, needs_path=False, rank=10)
)
