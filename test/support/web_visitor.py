"""A demo page in this process, asked as a browser would."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
from starlette.testclient import TestClient

from depth_anything_ros.settings import ModelSettings
from depth_anything_ros.web.demo_page import DemoPage
from depth_anything_ros.web.guards import Guard

SETTINGS = ModelSettings(model="embedded", device="cpu", backend="torch", precision="fp32")


def png(width: int = 96, height: int = 72, seed: int = 0) -> bytes:
    """A picture as a file."""
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".png", picture)[1].tobytes()


class Visitor:
    """A browser at work with the page."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def upload(self, content: bytes, name: str = "room.png") -> str:
        reply = self.client.post("/api/files", params={"name": name}, content=content)
        assert reply.status_code == 201, reply.text
        return str(reply.json()["id"])

    def submit(self, file: str, **wanted: Any) -> str:
        request = {"file": file, "model": "embedded", **wanted}
        reply = self.client.post("/api/jobs", json=request)
        assert reply.status_code == 202, reply.text
        return str(reply.json()["id"])

    def finished(self, job: str) -> dict[str, Any]:
        ends = time.monotonic() + 120
        while True:
            state: dict[str, Any] = self.client.get(f"/api/jobs/{job}").json()
            if state["state"] in ("done", "failed"):
                return state
            assert time.monotonic() < ends
            time.sleep(0.02)

    def result(self, file: str, **wanted: Any) -> dict[str, Any]:
        state = self.finished(self.submit(file, **wanted))
        assert state["state"] == "done", state["error"]
        result: dict[str, Any] = state["result"]
        return result

    def get(self, result: dict[str, Any], name: str, picture: int = 0) -> bytes:
        reply = self.client.get(f"/api/results/{result['id']}/{picture}/{name}")
        assert reply.status_code == 200, (name, reply.text)
        return bytes(reply.content)


def client_of(page: DemoPage, token: str | None = None) -> TestClient:
    return TestClient(Guard(page.app, token=token), base_url="http://127.0.0.1:8000")
