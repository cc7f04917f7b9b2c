"""Where results go: a folder of this machine, or of a store by its URL (s3://, gs://, ...)."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.formats import results
from depth_anything_ros.formats.remote import is_stored, is_url, local_copy, open_store
from depth_anything_ros.formats.whole_file import whole_file

_RUN = "depth_anything_run"
"""Name of the result that says where a run over several inputs was stopped."""


@dataclass(frozen=True)
class ResultFolder:
    """A folder for results.

    In a store a result is written to a temporary folder of this machine first and stored when it is
    whole, its JSON last: a result that a JSON calls complete is there.

    Attributes:
        place: Path of the folder, or URL.
    """

    place: str

    def __str__(self) -> str:
        return self.place

    @property
    def stored(self) -> bool:
        """Whether it is in a store."""
        return is_url(self.place)

    def make(self) -> None:
        """Make the folder where it is missing.

        Raises:
            SettingError: It cannot be made, or is no store's.
            InputError: There is no such kind of store, or its library is not installed.
        """
        if self.stored:
            if not is_stored(self.place):
                raise SettingError(f"{self.place} is not the URL of a store (s3://, gs://, ...)")
            open_store(self.place)
            return
        try:
            Path(self.place).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(f"{self.place} cannot be made: {error.strerror}") from error

    def is_done(self, name: str, request: str) -> bool:
        """Whether a result is there, whole and of the same request.

        Args:
            name: What it is called.
            request: What its JSON names as `request`.
        """
        if not self.stored:
            return results.is_done(Path(self.place) / name, request)
        report = self._report(name)
        if report is None or report.get("request") != request or not report.get("complete"):
            return False
        return all(self.has(each) for each in _files_of(name, report))

    @contextmanager
    def writing(self, name: str, overwrite: bool = False) -> Iterator[Path]:
        """Write the files of a result.

        Args:
            name: What it is called; its JSON is NAME.json.
            overwrite: Replace files that this program did not write.

        Yields:
            The folder of this machine to write them to.

        Raises:
            InputError: They cannot be stored, or a file of another program is in the way.
        """
        if not self.stored:
            yield Path(self.place)
            return
        with tempfile.TemporaryDirectory(prefix="depth_anything_") as folder:
            yield Path(folder)
            self._store(Path(folder), name, overwrite)

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        if not self.stored:
            return (Path(self.place) / name).is_file()
        system, path = self._opened(name)
        try:
            return bool(system.isfile(path))
        except Exception as error:  # each store has errors of its own
            raise InputError(f"{self.place}/{name} cannot be looked up: {error}") from error

    @contextmanager
    def reading(self, name: str) -> Iterator[Path]:
        """A file on this machine, for as long as the context lasts.

        Raises:
            InputError: It cannot be fetched.
        """
        if not self.stored:
            yield Path(self.place) / name
            return
        with local_copy(f"{self.place.rstrip('/')}/{name}") as copy:
            yield copy

    @contextmanager
    def writing_file(self, name: str) -> Iterator[Path]:
        """Write one file, which is whole or not there.

        Yields:
            A file of this machine to write to.

        Raises:
            InputError: It cannot be stored.
        """
        if not self.stored:
            with whole_file(Path(self.place) / name) as part:
                yield part
            return
        with tempfile.TemporaryDirectory(prefix="depth_anything_") as folder:
            part = Path(folder) / PurePosixPath(name).name
            yield part
            self._put(part, name)

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder below this one, in alphabetical order.

        Args:
            folder: Its path below this one.
        """
        if not self.stored:
            below = Path(self.place) / folder
            return sorted(path.name for path in below.iterdir()) if below.is_dir() else []
        system, path = self._opened(folder)
        return sorted(PurePosixPath(each).name for each in system.find(path, maxdepth=1))

    def write_stopped_run(self, done: set[str], waiting: set[str]) -> None:
        """Say that a run over several inputs was stopped.

        Args:
            done: Names of the inputs with results.
            waiting: Names of the others.
        """
        report = {"stopped": True, "done": sorted(done), "waiting": sorted(waiting)}
        with self.writing(_RUN, overwrite=True) as folder:
            results.write_report(folder / _RUN, [], report, complete=False)

    def forget_stopped_run(self) -> None:
        """Remove what `write_stopped_run` wrote: the run has come to its end."""
        if not self.stored:
            if results.read_report(Path(self.place) / _RUN) is not None:
                results.named(Path(self.place) / _RUN, ".json").unlink()
        elif self._report(_RUN) is not None:
            system, path = self._opened(f"{_RUN}.json")
            system.rm_file(path)

    def _store(self, folder: Path, name: str, overwrite: bool) -> None:
        """Store the files of a result, its JSON first as not complete, and again at the end."""
        files = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        last = f"{name}.json"
        own: set[str] = set()
        report = self._report(name)
        if report is not None:
            own = {last, *_files_of(name, report)}
        if not overwrite:
            foreign = [each for each in files if each not in own and self.has(each)]
            if foreign:
                raise InputError(
                    f"{', '.join(foreign)} in {self.place} would be replaced and was not written "
                    "by this program; choose another output folder, or allow it with --overwrite"
                )
        if last not in files:
            return
        written = results.read_report(folder / name) or {}
        with tempfile.TemporaryDirectory(prefix="depth_anything_") as claimed:
            stem = Path(claimed) / PurePosixPath(name).name
            self._put(results.write_report(stem, written.get("files", []), {}, "", False), last)
        for each, path in files.items():
            if each != last:
                self._put(path, each)
        self._put(files[last], last)

    def _put(self, path: Path, name: str) -> None:
        system, target = self._opened(name)
        try:
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            system.put_file(str(path), target)
        except Exception as error:  # each store has errors of its own
            raise InputError(f"{self.place}/{name} cannot be stored: {error}") from error

    def _report(self, name: str) -> dict[str, Any] | None:
        """Content of a stored result's JSON; None where there is none of this program."""
        system, path = self._opened(f"{name}.json")
        try:
            content = bytes(system.cat_file(path))
        except FileNotFoundError:
            return None
        except Exception as error:  # each store has errors of its own
            raise InputError(f"{self.place}/{name}.json cannot be read: {error}") from error
        return results.parsed_report(content)

    def _opened(self, name: str) -> tuple[Any, str]:
        return open_store(f"{self.place.rstrip('/')}/{name}")


def _files_of(name: str, report: dict[str, Any]) -> list[str]:
    """The files of a result below the folder of the results."""
    folder = posixpath.dirname(name)
    return [posixpath.normpath(posixpath.join(folder, each)) for each in report.get("files", [])]
