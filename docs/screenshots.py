"""Makes the pictures of the pages in the documentation (`make screenshots`; needs Chromium).

- serve.jpg: the demo page with its example "room", simulated by this package.
- vote.jpg: the page of `vote` with a question about the same picture.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from chromium import Chromium, Tab

from depth_anything_ros.evaluation.vote import Ballot, Question
from depth_anything_ros.formats.media import read_image, write_image
from depth_anything_ros.settings import ModelSettings
from depth_anything_ros.web.demo_page import DemoPage
from depth_anything_ros.web.serving import PageServer
from depth_anything_ros.web.settle_page import SettlePage

IMAGES = Path(__file__).parent / "images"
EXAMPLE = Path(__file__).parents[1] / "depth_anything_ros" / "web" / "examples" / "room.jpg"
SHOWN = (700, 1265)
"""Rows and columns of the page that are kept: beside them is the scroll bar."""
WIDTH = 1100
QUALITY = 82


def demo_page(chromium: Chromium) -> None:
    """The example with LiDAR points, its cloud beside it, the pointer on the floor."""
    page = DemoPage(ModelSettings("embedded"))
    server = PageServer(page.app)
    with _served(chromium, server.url, server.serve, server.finish) as tab:
        tab.wait_for("document.body.dataset.ready")
        tab.run("document.getElementById('confidence').checked = true")
        tab.click("#examples button:nth-child(1)")
        tab.wait_for("document.getElementById('cloud_words').innerText.includes('points; drag')")
        tab.wait_for("document.getElementById('progress').hidden")
        tab.mouse("mouseMoved", *tab.point("#canvas", 0.8, 0.62))
        tab.run("scrollTo(0, 0)")
        tab.wait_for("document.getElementById('readout').innerText.includes(' m')")
        _keep(tab, "serve.jpg")
    page.close()


def vote_page(chromium: Chromium) -> None:
    """A question on which two of four experts say one and two the other."""
    with tempfile.TemporaryDirectory() as folder:
        question = Question((310, 100), (300, 200), ["point1", "point1", "point2", "point2"])
        ballot = Ballot(
            Path(folder),
            ["vits", "vitb", "vitl", "lite"],
            EXAMPLE.parent,
            {EXAMPLE.name: [question]},
        )
        ballot.save()
        page = SettlePage(ballot)
        with _served(chromium, page.url, page.serve, page.finish) as tab:
            tab.wait_for("[...document.images].every(image => image.complete)")
            _keep(tab, "vote.jpg")


@contextmanager
def _served(
    chromium: Chromium, url: str, serve: Callable[[], object], finish: Callable[[], object]
) -> Iterator[Tab]:
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        tab = chromium.tab()
        tab.command(
            "Emulation.setDeviceMetricsOverride",
            width=1280, height=720, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        tab.open(url)
        yield tab
    finally:
        finish()
        thread.join(20)


def _keep(tab: Tab, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        tab.screenshot(shot)
        picture = read_image(shot)[: SHOWN[0], : SHOWN[1]]
    size = (WIDTH, round(picture.shape[0] * WIDTH / picture.shape[1]))
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    write_image(IMAGES / name, small, QUALITY)
    print(IMAGES / name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as profile:
        browser = Chromium(Path(profile))
        try:
            demo_page(browser)
            vote_page(browser)
        finally:
            browser.close()
