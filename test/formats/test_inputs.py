"""What `run` and the player read that is no file."""

from __future__ import annotations

import itertools

import pytest
from fake_webcam import FakeWebcam, bgr_of

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.inputs import Kind, find_inputs, read_input


def test_a_webcam_gives_rgb_in_order_until_it_is_unplugged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    webcam = FakeWebcam(monkeypatch, pictures=5)
    (source,) = find_inputs(["webcam:0"])
    assert (source.kind, source.name, source.is_sequence) == (Kind.WEBCAM, "webcam0", True)
    pictures = read_input(source)
    items = list(itertools.islice(pictures, 5))
    for number, item in enumerate(items):
        assert item.name == f"webcam0_{number:06d}"
        assert (item.frame.rgb == bgr_of(number)[..., ::-1]).all()
    stamps = [item.frame.stamp for item in items]
    assert stamps == sorted(stamps) and stamps[0] >= 0
    assert len(webcam.opened) == 1
    with pytest.raises(InputError, match="webcam:0 gives no more pictures"):
        next(pictures)
    assert webcam.opened == []


def test_a_webcam_is_released_when_nobody_reads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    webcam = FakeWebcam(monkeypatch, pictures=5)
    pictures = read_input(find_inputs(["webcam:0"])[0])
    next(pictures)
    pictures.close()  # type: ignore[attr-defined]
    assert webcam.opened == []
    with pytest.raises(InputError, match="webcam:1 cannot be opened"):
        next(read_input(find_inputs(["webcam:1"])[0]))
    assert webcam.opened == []
