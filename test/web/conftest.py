"""A demo page in this process, asked as a browser would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from web_visitor import Visitor

    from depth_anything_ros.web.demo_page import DemoPage


@pytest.fixture(scope="module")
def page() -> Iterator[DemoPage]:
    from web_visitor import SETTINGS

    from depth_anything_ros.web.demo_page import DemoPage
    from depth_anything_ros.web.estimation import Limits

    page = DemoPage(SETTINGS, Limits(upload_bytes=3_000_000, pixels=400_000, video_pictures=3))
    yield page
    page.close()


@pytest.fixture
def visitor(page: DemoPage) -> Visitor:
    from web_visitor import Visitor, client_of

    return Visitor(client_of(page))
