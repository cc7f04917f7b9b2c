"""Local web page on which a person settles disputed pairs by keyboard."""

from __future__ import annotations

import json
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

from depth_anything_ros.errors import InputError
from depth_anything_ros.evaluation.vote import ANSWERS, Ballot
from depth_anything_ros.formats.media import encoded, read_image

_LOCAL = "127.0.0.1"
_LARGEST_BODY = 1000
_PATIENCE = 10.0
"""Seconds that a browser may take to send what it has announced."""

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95]


class SettlePage:
    """Serves the disputed pairs of a ballot; each answer is saved before the next is shown.

    The page does not show the experts' votes, so as not to bias the person.

    Args:
        ballot: The ballot; changed and saved with every answer.
        port: Port on 127.0.0.1; 0 takes a free one.

    Raises:
        OSError: The port cannot be had.
    """

    def __init__(self, ballot: Ballot, port: int = 0) -> None:
        self._ballot = ballot
        self._disputed = [each for each in ballot.questions() if each[1].verdict is None]
        self._lock = threading.Lock()
        self._server = _Server((_LOCAL, port), _handler(self))
        self.url = f"http://{_LOCAL}:{self._server.server_address[1]}/"

    def serve(self) -> None:
        """Answer the browser until a person finishes; then the port is free again."""
        with self._server:
            self._server.serve_forever(poll_interval=0.1)

    def finish(self) -> None:
        """Make `serve` return."""
        # From another thread: shutdown waits until the server has answered this request.
        threading.Thread(target=self._server.shutdown).start()

    def state(self) -> dict[str, Any]:
        """The first pair without an answer, and how many there are."""
        with self._lock:
            open_ = [i for i, (_, question) in enumerate(self._disputed) if not question.verdict]
            state: dict[str, Any] = {"total": len(self._disputed), "open": len(open_)}
            if open_:
                image, question = self._disputed[open_[0]]
                state |= {
                    "id": open_[0],
                    "image": image,
                    "point1": question.point1,
                    "point2": question.point2,
                }
            return state

    def answer(self, number: int, verdict: str | None) -> None:
        """Settle a pair, or with None open it again; saved when this returns.

        Args:
            number: Its id.
            verdict: One of `ANSWERS`, or None.

        Raises:
            LookupError: There is no such pair or answer.
            OSError: It could not be saved; the pair stays as it was.
        """
        if not 0 <= number < len(self._disputed) or verdict not in (*ANSWERS, None):
            raise LookupError(number, verdict)
        with self._lock:
            question = self._disputed[number][1]
            before, question.verdict = question.verdict, verdict
            try:
                self._ballot.save()
            except OSError:
                question.verdict = before
                raise

    def picture(self, number: int) -> bytes:
        """The image of a pair as JPEG, upright and at its own size, whatever its format is.

        Args:
            number: The pair's id.

        Raises:
            IndexError: There is no such pair.
            InputError: The image cannot be read.
        """
        rgb = read_image(self._ballot.root / self._disputed[number][0])
        return encoded(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)), ".jpg", _JPEG)


class _Server(ThreadingHTTPServer):
    """Says nothing of browsers that go away in the middle of an answer."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def _handler(page: SettlePage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE

        def do_GET(self) -> None:
            if not self._is_ours():
                return
            if self.path == "/":
                self._reply("text/html; charset=utf-8", _HTML.encode())
            elif self.path == "/state":
                self._reply_state()
            elif self.path.startswith("/image/") and self.path[7:].isdecimal():
                self._reply_picture(int(self.path[7:]))
            else:
                self.send_error(HTTPStatus.NOT_FOUND)

        def do_POST(self) -> None:
            if not self._is_ours():
                return
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdecimal()):
                self.send_error(HTTPStatus.LENGTH_REQUIRED)
                return
            if len(length) > 9 or int(length) > _LARGEST_BODY:
                self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return
            try:
                body = json.loads(self.rfile.read(int(length)))
                if self.path == "/answer":
                    page.answer(int(body["id"]), body["verdict"])
                elif self.path != "/finish":
                    self.send_error(HTTPStatus.NOT_FOUND)
                    return
            except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
                self.send_error(HTTPStatus.BAD_REQUEST)
                return
            except OSError as error:
                self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, error.strerror)
                return
            self._reply_state()
            if self.path == "/finish":
                page.finish()

        def log_message(self, format: str, *args: Any) -> None:
            """Stay quiet: the terminal is for results."""

        def _is_ours(self) -> bool:
            """Refuse other sites: they reach this port through the browser, by another name."""
            own = page.url.removeprefix("http://").rstrip("/")
            origin = self.headers.get("Origin")
            if self.headers.get("Host") == own and origin in (None, f"http://{own}"):
                return True
            self.send_error(HTTPStatus.FORBIDDEN)
            return False

        def _reply_picture(self, number: int) -> None:
            try:
                picture = page.picture(number)
            except (IndexError, InputError):
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self._reply("image/jpeg", picture)

        def _reply_state(self) -> None:
            self._reply("application/json", json.dumps(page.state()).encode())

        def _reply(self, kind: str, content: bytes) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", _POLICY)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(content)

    return Handler


_HTML = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Which point is closer?</title>
<style>
  body { margin: 0; background: #16181c; color: #e8e8e8; font: 16px system-ui, sans-serif;
         display: flex; flex-direction: column; height: 100vh; }
  header { padding: 10px 16px; display: flex; gap: 24px; flex-wrap: wrap; }
  b.one { color: #ff5a4d; } b.two { color: #4db4ff; }
  kbd { border: 1px solid #777; border-radius: 4px; padding: 0 6px; }
  #count, #name { color: #aaa; }
  canvas { flex: 1; min-height: 0; width: 100%; }
</style>
<header>
  <span>Which is closer to the camera?</span>
  <span><kbd>1</kbd> <b class="one">red</b></span>
  <span><kbd>2</kbd> <b class="two">blue</b></span>
  <span><kbd>space</kbd> unclear</span>
  <span><kbd>backspace</kbd> back</span>
  <span id="finish" hidden><kbd>enter</kbd> finish</span>
  <span id="count"></span><span id="name"></span>
</header>
<canvas></canvas>
<script>
"use strict";
const canvas = document.querySelector("canvas"), pen = canvas.getContext("2d");
const finish = document.getElementById("finish");
const verdicts = { "1": "point1", "2": "point2", " ": "unclear" };
const past = [];
let state = {}, picture = null, busy = false;

function draw() {
  canvas.width = canvas.clientWidth; canvas.height = canvas.clientHeight;
  if (!picture) {
    pen.fillStyle = "#e8e8e8"; pen.font = "24px system-ui"; pen.textAlign = "center";
    const text = state.ended ? "Finished. This window can be closed."
      : state.open ? "This image cannot be read; space passes it." : "All pairs are settled.";
    pen.fillText(text, canvas.width / 2, canvas.height / 2);
    return;
  }
  const scale = Math.min(canvas.width / picture.width, canvas.height / picture.height);
  const left = (canvas.width - scale * picture.width) / 2;
  const top = (canvas.height - scale * picture.height) / 2;
  pen.drawImage(picture, left, top, scale * picture.width, scale * picture.height);
  for (const [point, colour] of [[state.point1, "#ff5a4d"], [state.point2, "#4db4ff"]]) {
    const x = left + scale * (point[1] + 0.5), y = top + scale * (point[0] + 0.5);
    for (const [width, stroke] of [[5, "#000"], [2.5, colour]]) {
      pen.lineWidth = width; pen.strokeStyle = stroke;
      pen.beginPath(); pen.arc(x, y, 9, 0, 7); pen.stroke();
    }
    pen.fillStyle = colour; pen.fillRect(x - 1, y - 1, 2, 2);
  }
}

async function show(next) {
  state = next;
  document.getElementById("count").textContent = state.open + " of " + state.total + " open";
  document.getElementById("name").textContent = state.image || "";
  finish.hidden = state.open > 0;
  picture = null;
  if (state.open) {
    const image = new Image();
    image.src = "/image/" + state.id;
    picture = await image.decode().then(() => image, () => null);
  }
  draw();
}

async function post(path, body) {
  const reply = await fetch(path, { method: "POST", body: JSON.stringify(body) });
  if (!reply.ok) throw new Error(reply.statusText);
  return reply.json();
}

addEventListener("keydown", async (event) => {
  const back = event.key === "Backspace" && past.length;
  const shown = picture || event.key === " ";
  const verdict = state.open && shown ? verdicts[event.key] : undefined;
  const end = event.key === "Enter" && state.open === 0;
  if (busy || state.ended || event.repeat || !(back || verdict || end)) return;
  event.preventDefault();
  busy = true;
  try {
    if (end) { await post("/finish", {}); state.ended = true; draw(); }
    else if (back) {
      await show(await post("/answer", { id: past[past.length - 1], verdict: null }));
      past.pop();
    } else {
      const id = state.id;
      const next = await post("/answer", { id, verdict });
      past.push(id);
      await show(next);
    }
  } catch (error) {
    document.getElementById("name").textContent = "not saved: " + error.message;
  }
  busy = false;
});
addEventListener("resize", draw);
fetch("/state").then((reply) => reply.json()).then(show);
</script></html>
"""
