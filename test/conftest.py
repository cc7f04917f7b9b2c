"""What every test may ask for."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

with contextlib.suppress(ImportError):  # what needs it is skipped without it
    import hypothesis

    # How long an example takes on a busy machine says nothing about the code, and the same code
    # must pass or fail every time: new examples are sought by HYPOTHESIS_PROFILE=search.
    hypothesis.settings.register_profile(
        "project",
        deadline=None,
        database=None,
        derandomize=True,
        max_examples=25,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.register_profile(
        "search", hypothesis.settings.get_profile("project"), derandomize=False, max_examples=500
    )
    hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "project"))

REPOSITORY = Path(__file__).resolve().parent.parent


def _data_dir() -> Path | None:
    named = os.environ.get("DEPTH_ANYTHING_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session", autouse=True)
def build_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Exports and verdicts of test networks stay out of the user's cache, and last the session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real test images, recordings and one real network."""
    folder = _data_dir()
    if folder is None:
        pytest.skip("no test data: set DEPTH_ANYTHING_TEST_DATA to the folder of real images")
    return folder


@pytest.fixture(scope="module", autouse=True)
def package_log() -> Iterator[None]:
    """A node made in this process takes the package's log over; the next module has it back."""
    log = logging.getLogger("depth_anything_ros")
    before = log.level, log.handlers, log.propagate
    yield
    log.level, log.handlers, log.propagate = before
