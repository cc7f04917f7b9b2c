"""Indices of measured depth: what they may say, and what is told about wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.depth_index import DepthSample, read_index, write_index


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "a.png", "b.jpg", "b.npy"):
        (tmp_path / name).touch()
    return tmp_path


def test_csv_and_yaml_say_the_same(folder: Path) -> None:
    (folder / "index.csv").write_text(
        "image,depth,png_scale,fx,fy,cx,cy\na.jpg,a.png,256,500,510,320,240\nb.jpg,b.npy,,,,,\n"
    )
    (folder / "index.yaml").write_text(
        "- {image: a.jpg, depth: a.png, png_scale: 256, fx: 500, fy: 510, cx: 320, cy: 240}\n"
        "- {image: b.jpg, depth: b.npy}\n"
    )
    expected = [
        DepthSample(folder / "a.jpg", folder / "a.png", 256.0, (500.0, 510.0, 320.0, 240.0)),
        DepthSample(folder / "b.jpg", folder / "b.npy", 1000.0, None),
    ]
    assert read_index(folder / "index.csv") == expected
    assert read_index(folder / "index.yaml") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,depth\n", "lists no images"),
        ("image\na.jpg\n", "entry 1 has no depth"),
        (
            "image,depth\na.jpg,a.png\ngone.jpg,a.png\n",
            r"entry 2: image .*gone\.jpg does not exist",
        ),
        ("image,depth,metres\na.jpg,a.png,3\n", "metres is not known"),
        ("image,depth\na.jpg,a.png,3\n", "more columns is not known"),
        ("image,depth,png_scale\na.jpg,a.png,no\n", "png_scale is 'no'"),
        ("image,depth,png_scale\na.jpg,a.png,0\n", "png_scale is '0'"),
        ("image,depth,sparse\na.jpg,a.png,some\n", "sparse is .some."),
        ("image,depth,fx,fy\na.jpg,a.png,500,500\n", "has fx, fy only"),
    ],
)
def test_wrong_entries_are_named(folder: Path, text: str, message: str) -> None:
    (folder / "index.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_index(folder / "index.csv")


@pytest.mark.parametrize("text", ["image: a.jpg\n", "- a.jpg\n", "", "[", "\x00"])
def test_other_yaml_is_refused(folder: Path, text: str) -> None:
    (folder / "index.yaml").write_text(text)
    with pytest.raises(InputError, match=r"index\.yaml"):
        read_index(folder / "index.yaml")


def test_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.csv cannot be read"):
        read_index(tmp_path / "gone.csv")


def test_what_is_written_is_read_again(folder: Path) -> None:
    samples = [
        DepthSample(folder / "a.jpg", folder / "a.png", 256.0, (500.5, 510.0, 320.0, 240.0)),
        DepthSample(folder / "b.jpg", folder / "b.npy", sparse=True),
    ]
    write_index(folder / "index.csv", samples)
    assert read_index(folder / "index.csv") == samples
    (folder / "index.csv").write_text("image,depth,scale,sparse\na.jpg,a.png,256,1\n")
    assert read_index(folder / "index.csv") == [
        DepthSample(folder / "a.jpg", folder / "a.png", 256.0, sparse=True)
    ]
