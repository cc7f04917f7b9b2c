"""The pages in a real Chromium: what a person does, and what they see."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="starlette is not installed (extra 'serve')")
pytest.importorskip("uvicorn", reason="uvicorn is not installed (extra 'serve')")

from chromium import EXECUTABLE, Chromium, Tab, wait_until
from web_visitor import SETTINGS, png

import depth_anything_ros as da
from depth_anything_ros.evaluation.vote import POINT1, POINT2, UNCLEAR, Ballot, Question
from depth_anything_ros.formats.media import decode_compressed
from depth_anything_ros.formats.video import VideoWriter
from depth_anything_ros.web.demo_page import DemoPage
from depth_anything_ros.web.serving import PageServer
from depth_anything_ros.web.settle_page import SettlePage

pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium (apt-get install chromium)")

IS_SHOWN = "!document.getElementById('shown').hidden && document.getElementById('progress').hidden"
HAS_ERROR = "!document.getElementById('error').hidden"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    browser = Chromium(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    page = DemoPage(SETTINGS)
    server = PageServer(page.app)
    thread = threading.Thread(target=server.serve)
    thread.start()
    yield server.url
    server.finish()
    thread.join(60)
    page.close()


def opened(chromium: Chromium, url: str) -> Tab:
    tab = chromium.tab()
    tab.open(url)
    tab.wait_for("document.body.dataset.ready")
    return tab


def shown_value(tab: Tab, u: int, v: int, width: int, height: int) -> float:
    """What the page says is at a pixel, pointed at with the mouse."""
    tab.mouse("mouseMoved", *tab.point("#canvas", (u + 0.5) / width, (v + 0.5) / height))
    where = f"column {u}, row {v}:"
    tab.wait_for(f"document.getElementById('readout').innerText.startsWith('{where}')")
    words = tab.text("readout").removeprefix(where).split()
    return float(next(word for word in words if word[0].isdigit()))


def test_a_picture_is_tried_out(chromium: Chromium, url: str, tmp_path: Path) -> None:
    tab = opened(chromium, url)
    picture = tmp_path / "my room.png"
    picture.write_bytes(png(160, 120))
    tab.give_file("#file", picture)
    tab.wait_for(IS_SHOWN)
    assert tab.text("chosen") == "my room.png"
    assert "no metres" in tab.text("scale")
    assert "the 3D view needs metres" in tab.text("cloud_words")
    rgb = decode_compressed(np.frombuffer(picture.read_bytes(), np.uint8), "picture")
    disparity = da.load(SETTINGS)(rgb).prediction.values
    assert shown_value(tab, 100, 50, 160, 120) == pytest.approx(disparity[50, 100], rel=6e-3)
    assert "relative disparity" in tab.text("readout")

    # Keys move the border, and so does the mouse.
    value = "document.getElementById('slider').value"
    tab.run("document.getElementById('slider').focus()")
    tab.key("ArrowRight", until=f"{value} > 51")
    x, y = tab.point("#canvas", 0.2, 0.5)
    tab.click_at(x, y)
    assert tab.run(value) == pytest.approx(20, abs=1)

    # Two points are marked with their distances, and the depth is in metres.
    order = np.argsort(disparity, axis=None)
    marks = {2.0: int(order[-800]), 6.0: int(order[800])}
    for metres, index in marks.items():
        v, u = divmod(index, 160)
        tab.click("#mark")
        tab.click_at(*tab.point("#canvas", (u + 0.5) / 160, (v + 0.5) / 120))
        tab.wait_for("!document.getElementById('mark_distance').hidden")
        tab.run(f"document.getElementById('mark_metres').value = '{metres}'")
        tab.click("#mark_add")
    tab.run("document.getElementById('hfov').value = '60'")
    tab.run("document.getElementById('confidence').checked = true")
    tab.click("#estimate")
    tab.wait_for("document.getElementById('scale').innerText.startsWith('Metres by sparse')")
    tab.wait_for("document.getElementById('cloud_words').innerText.includes('points; drag')")
    tab.wait_for(IS_SHOWN)
    for metres, index in marks.items():
        v, u = divmod(index, 160)
        assert shown_value(tab, u, v, 160, 120) == pytest.approx(metres, rel=0.02)
    assert " m \u00b1 " in tab.text("readout") and "confidence" in tab.text("readout")
    assert tab.text("ticks").endswith(" m")
    assert tab.run("document.querySelector('#cloud canvas').width") > 100

    # The colours follow the range.
    corner = (
        "Array.from(document.getElementById('canvas').getContext('2d')"
        f".getImageData({marks[2.0] % 160}, {marks[2.0] // 160}, 1, 1).data)"
    )
    bright = tab.run(corner)
    tab.run("document.getElementById('near').value = '0.5'")
    tab.run("document.getElementById('near').dispatchEvent(new Event('change'))")
    assert sum(tab.run(corner)) < sum(bright)

    tab.save_downloads(tmp_path)
    links = "Array.from(document.querySelectorAll('#downloads a')).map((a) => a.innerText)"
    assert tab.run(links) == ["16-bit PNG (mm)", "NPY", "PLY", "preview", "JSON"]
    tab.click("#downloads a:nth-of-type(1)")
    saved = tmp_path / "my room_depth.png"
    wait_until(lambda: saved.exists() and saved.stat().st_size > 1000)
    level: Any = cv2.imread(str(saved), cv2.IMREAD_UNCHANGED)
    for metres, index in marks.items():
        assert level.ravel()[index] == pytest.approx(1000 * metres, rel=0.02)

    assert all(each.startswith((url, "blob:", "data:")) for each in tab.requested())
    assert tab.complaints() == []


def test_a_bad_file_is_said_in_words_and_the_next_one_works(
    chromium: Chromium, url: str, tmp_path: Path
) -> None:
    tab = opened(chromium, url)
    bad, good = tmp_path / "bad.jpg", tmp_path / "good.png"
    bad.write_bytes(b"this is no picture")
    good.write_bytes(png(64, 48))
    tab.give_file("#file", bad)
    tab.wait_for(HAS_ERROR)
    assert tab.text("error").startswith("bad.jpg is no JPEG, PNG, TIFF, BMP or WebP picture")
    # A file that is dropped onto the page.
    content = base64.b64encode(good.read_bytes()).decode()
    tab.run(
        "(() => {const all = new DataTransfer();"
        f"const bytes = Uint8Array.from(atob('{content}'), (each) => each.charCodeAt(0));"
        "all.items.add(new File([bytes], 'good.png'));"
        "document.dispatchEvent(new DragEvent('drop', {dataTransfer: all}));})()"
    )
    tab.wait_for(IS_SHOWN)
    assert tab.text("chosen") == "good.png"
    assert not tab.run(HAS_ERROR)


def test_a_video_is_gone_through(chromium: Chromium, url: str, tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    with VideoWriter(path, 10.0) as video:
        for seed in range(3):
            content = np.frombuffer(png(64, 48, seed), np.uint8)
            video.write(decode_compressed(content, "picture"))
    tab = opened(chromium, url)
    tab.give_file("#file", path)
    tab.wait_for(IS_SHOWN)
    assert tab.text("picture_words") == "1 of 3"
    first = shown_value(tab, 32, 24, 64, 48)
    tab.run("document.getElementById('picture_number').value = '2'")
    tab.run("document.getElementById('picture_number').dispatchEvent(new Event('input'))")
    tab.wait_for("document.getElementById('picture_words').innerText === '3 of 3'")
    tab.mouse("mouseMoved", *tab.point("#canvas", 0.1, 0.1))
    tab.wait_for("document.getElementById('readout').innerText.startsWith('column 6')")
    assert shown_value(tab, 32, 24, 64, 48) != first
    links = "Array.from(document.querySelectorAll('#downloads a')).map((a) => a.innerText)"
    assert tab.run(links)[-1] == "video"


def test_what_an_example_brought_does_not_stay_for_the_next_picture(
    chromium: Chromium, url: str, tmp_path: Path
) -> None:
    tab = opened(chromium, url)
    tab.run(
        "HTMLCanvasElement.prototype.getContext = new Proxy("
        "HTMLCanvasElement.prototype.getContext, {apply: (get, canvas, kind) =>"
        " kind[0] === '2d' ? get.apply(canvas, kind) : null}), 0"
    )
    tab.click("#examples button:nth-child(1)")
    tab.wait_for("document.getElementById('scale').innerText.startsWith('Metres by sparse')")
    tab.wait_for(IS_SHOWN)
    assert tab.text("cloud_words") == "This browser has no WebGL; the PLY can be downloaded."
    path = tmp_path / "own.png"
    path.write_bytes(png(64, 48))
    tab.give_file("#file", path)
    tab.wait_for("document.getElementById('scale').innerText.startsWith('disparity, no metres')")
    assert tab.run("document.getElementById('hfov').value") == ""
    assert tab.text("points_chosen") == ""


def test_two_users_at_once_get_their_own_pictures(
    chromium: Chromium, url: str, tmp_path: Path
) -> None:
    tabs = [opened(chromium, url) for _ in range(2)]
    for number, tab in enumerate(tabs):
        path = tmp_path / f"{number}.png"
        path.write_bytes(png(64, 48, seed=number))
        tab.give_file("#file", path)
    for number, tab in enumerate(tabs):
        tab.wait_for(IS_SHOWN)
        rgb = decode_compressed(np.frombuffer(png(64, 48, seed=number), np.uint8), "picture")
        expected = da.load(SETTINGS)(rgb).prediction.values[24, 32]
        assert shown_value(tab, 32, 24, 64, 48) == pytest.approx(expected, rel=6e-3)


def test_the_webcam_gives_a_picture(chromium: Chromium, url: str) -> None:
    tab = opened(chromium, url)
    tab.click("#webcam")  # the browser's test picture
    tab.wait_for("document.getElementById('webcam_video').videoWidth > 0")
    tab.click("#webcam_take")
    tab.wait_for(IS_SHOWN)
    assert tab.text("chosen") == "webcam"
    tab.click("#webcam_stop")


def test_pairs_are_settled_by_key_button_and_finger(chromium: Chromium, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((60, 80, 3), 90, np.uint8))
    votes = [POINT1, POINT1, POINT2, POINT1]
    questions = [Question((30, 20), (30, 60), votes) for _ in range(3)]
    ballot = Ballot(tmp_path / "vote", ["a", "b", "c", "d"], tmp_path, {"1.png": questions})
    ballot.save()
    page = SettlePage(ballot)
    thread = threading.Thread(target=page.serve)
    thread.start()
    tab = chromium.tab()
    tab.open(page.url)

    def open_pairs(count: int) -> None:
        tab.wait_for(
            f"document.getElementById('count').innerText === '{count} of 3 open' && "
            f"document.getElementById('one').disabled === {'true' if count == 0 else 'false'}"
        )

    open_pairs(3)
    tab.key("1")
    open_pairs(2)
    tab.click("#back")
    open_pairs(3)
    tab.click("#unclear")
    open_pairs(2)
    box = tab.run("(({width, height}) => [width, height])(document.querySelector('canvas'))")
    scale = min(box[0] / 80, box[1] / 60)
    x = 0.5 + (60.5 - 40) * scale / box[0]
    y = 0.5 + (30.5 - 30) * scale / box[1]
    tab.touch(*tab.point("canvas", x, y))  # the blue point
    open_pairs(1)
    assert tab.run("document.getElementById('finish').hidden")
    tab.click("#two")
    open_pairs(0)
    assert [question.verdict for question in questions] == [UNCLEAR, POINT2, POINT2]
    assert tab.complaints() == []
    tab.click("#finish")
    thread.join(60)
    assert not thread.is_alive()


def test_a_page_whose_server_is_gone_does_not_say_settled(
    chromium: Chromium, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((60, 80, 3), 90, np.uint8))
    question = Question((30, 20), (30, 60), [POINT1, POINT1, POINT2, POINT1])
    ballot = Ballot(tmp_path / "vote", ["a", "b", "c", "d"], tmp_path, {"1.png": [question]})
    ballot.save()
    page = SettlePage(ballot)
    thread = threading.Thread(target=page.serve)
    thread.start()
    tab = chromium.tab()
    # The texts are drawn: noted as they are.
    tab.command(
        "Page.addScriptToEvaluateOnNewDocument",
        source="window.drawn = []; const fill = CanvasRenderingContext2D.prototype.fillText;"
        "CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {"
        " window.drawn.push(text); fill.call(this, text, ...rest); };",
    )
    tab.open(page.url)
    tab.wait_for("!document.getElementById('one').disabled")
    assert tab.run("window.drawn") == ["Loading ..."]
    page.finish()
    thread.join(60)
    tab.key("1")
    tab.wait_for("document.getElementById('name').innerText.startsWith('not saved')")
    assert "All pairs are settled." not in tab.run("window.drawn")
    assert question.verdict is None
