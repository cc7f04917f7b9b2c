from __future__ import annotations

import os
from pathlib import Path

import pytest
from metric_scenes import METRIC, RELATIVE

from depth_anything_ros.errors import InputError, SettingError
from depth_anything_ros.metric.scale_file import SavedScale, load_scale, save_scale


def test_a_scale_file_brings_back_the_same_numbers(tmp_path: Path) -> None:
    saved = SavedScale(RELATIVE, 0.1 + 0.2, -1 / 3, "sparse")
    save_scale(saved, tmp_path / "new" / "scale.yaml")
    assert load_scale(tmp_path / "new" / "scale.yaml") == saved
    save_scale(SavedScale(METRIC, 2.0), tmp_path / "new" / "scale.yaml")
    assert load_scale(tmp_path / "new" / "scale.yaml") == SavedScale(METRIC, 2.0)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["scale.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "scale: 1",
        "kind: metres\nscale: 1",
        "kind: metric_depth\nscale: -1",
        "[1, 2",
        "7",
        "kind: metric_depth\nscale: 1" + "0" * 400,
        "[" * 3000,
        "2001-99-99",
    ],
)
def test_a_file_that_is_no_scale_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scale.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"scale\.yaml is not a scale file"):
        load_scale(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the scale file .*none\.yaml"):
        load_scale(tmp_path / "none.yaml")


def test_another_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text("/**:\n  ros__parameters: {speed: 1.0}\n")
    with pytest.raises(InputError, match=r"robot\.yaml exists and is not a scale file"):
        save_scale(SavedScale(METRIC, 2.0), path)
    assert "speed" in path.read_text()


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scale.yaml"
    save_scale(SavedScale(METRIC, 2.0), path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot write the scale file .*No space left"):
        save_scale(SavedScale(METRIC, 3.0), path)
    assert load_scale(path).scale == 2.0
    assert [each.name for each in tmp_path.iterdir()] == ["scale.yaml"]


def test_folders_are_made_and_what_cannot_be_a_scale_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "scale.yaml"
    save_scale(SavedScale(METRIC, 2.0), path)
    assert (load_scale(path).scale, load_scale(path).shift) == (2.0, 0.0)
    for scale, shift in ((0.0, 0.0), (-1.0, 0.0), (float("nan"), 0.0), (1.0, float("inf"))):
        with pytest.raises(SettingError, match=r"(scale|shift) is"):
            SavedScale(METRIC, scale, shift)
