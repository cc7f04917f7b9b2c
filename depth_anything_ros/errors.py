"""Errors for users, and the late import of optional libraries."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from depth_anything_ros.installed_commands import install_command


class DepthAnythingError(Exception):
    """Base of every error this package raises on purpose; its message is meant for the user."""


class CheckpointError(DepthAnythingError):
    """A model file or catalogue name that cannot be used, with the remedy."""


class InputError(DepthAnythingError):
    """An image, message, calibration or file that cannot be used, with the remedy."""


class SettingError(DepthAnythingError, ValueError):
    """A parameter or option with a value that cannot be used, with the remedy."""


class MissingExtraError(DepthAnythingError, ImportError):
    """An optional library is not installed; the message names the pip extra."""


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Make one sentence of whatever a library raises while it reads a file.

    What NumPy, zipfile, sqlite or OpenCV raise for damaged files is not documented, and changes.

    Args:
        path: The file.
        what: What it should be, as "depth".

    Raises:
        InputError: Something was raised that is not ours.
    """
    try:
        yield
    except DepthAnythingError:
        raise
    except Exception as error:
        raise InputError(f"{path} cannot be read as {what}: {_reason(error)}") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make one sentence of whatever a library raises while it writes a file.

    PyTorch and safetensors raise errors of their own where the disk is full.

    Args:
        path: The file.

    Raises:
        InputError: Something was raised that is not ours.
    """
    try:
        yield
    except DepthAnythingError:
        raise
    except Exception as error:
        raise InputError(f"{path} cannot be written: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    strerror = error.strerror if isinstance(error, OSError) else None
    return " ".join((strerror or str(error)).split()) or type(error).__name__


def require(module: str, extra: str) -> ModuleType:
    """Import an optional library, or raise an error that names the extra.

    Args:
        module: Dotted name of the module to import.
        extra: The pip extra of this package that contains it.

    Returns:
        The imported module.

    Raises:
        MissingExtraError: The module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if not isinstance(error, ModuleNotFoundError) or not module.startswith(error.name or " "):
            raise
        raise MissingExtraError(
            f"'{module}' is not installed; install it with `{install_command(extra)}`"
        ) from error
