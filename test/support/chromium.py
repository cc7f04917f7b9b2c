"""A headless Chromium, driven over a pipe with the DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_FOUND = [path for name in ("chromium", "google-chrome") if (path := shutil.which(name))]
EXECUTABLE = next((path for path in _FOUND if not path.startswith("/snap/")), None)
"""A Chromium that reads the files of tests: one in a snap does not."""

_FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",  # tests run as root in containers
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=900,800",
)


class Chromium:
    """One browser; its tabs have profiles of their own, like different users.

    Args:
        folder: For its profile.
    """

    def __init__(self, folder: Path) -> None:
        assert EXECUTABLE is not None
        commands_out, self._commands = os.pipe()
        self._answers, answers_in = os.pipe()
        arguments = [EXECUTABLE, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
        # The browser reads commands from descriptor 3 and writes to 4.
        line = f'exec "$@" 3<&{commands_out} 4>&{answers_in}'
        self._log = (folder / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            ["bash", "-c", line, "chromium", *arguments],
            pass_fds=(commands_out, answers_in),
            stdout=self._log,
            stderr=self._log,
        )
        os.close(commands_out)
        os.close(answers_in)
        self._buffer = b""
        self._last_id = 0
        self.events: list[dict[str, Any]] = []

    def tab(self) -> Tab:
        """A new tab with a profile of its own."""
        context = self.command("Target.createBrowserContext")["browserContextId"]
        target = self.command("Target.createTarget", url="about:blank", browserContextId=context)[
            "targetId"
        ]
        session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Tab(self, session)

    def command(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result; events that come meanwhile are kept."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") != self._last_id:
                self.events.append(answer)
                continue
            assert "error" not in answer, (method, answer["error"])
            result: dict[str, Any] = answer["result"]
            return result

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        self._process.wait(60)
        os.close(self._commands)
        os.close(self._answers)
        self._log.close()

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._answers, 1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


class Tab:
    """A tab of the browser."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session
        for domain in ("Page", "Runtime", "Network", "DOM", "Log"):
            self.command(f"{domain}.enable")
        self.command("Emulation.setFocusEmulationEnabled", enabled=True)

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.command(method, self._session, **parameters)

    def open(self, url: str) -> None:
        self.command("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def run(self, code: str) -> Any:
        """Value of a JavaScript expression, awaited."""
        answer = self.command(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, code: str, seconds: float = 120.0) -> Any:
        """Wait until an expression is true; its value."""
        ends = time.monotonic() + seconds
        while not (value := self.run(code)):
            assert time.monotonic() < ends, f"never: {code}\n{self.run('document.body.innerText')}"
            time.sleep(0.05)
        return value

    def text(self, element: str) -> str:
        """What an element shows, empty where it is hidden."""
        return str(self.run(f"document.getElementById('{element}').innerText"))

    def click(self, selector: str) -> None:
        """Click on the middle of an element with the mouse."""
        self.click_at(*self.point(selector, 0.5, 0.5))

    def point(self, selector: str, x: float, y: float) -> tuple[float, float]:
        """Place in the window of a share of an element's width and height."""
        self.run(f"document.querySelector('{selector}').scrollIntoView({{block: 'center'}})")
        box = self.run(
            f"(({{left, top, width, height}}) => [left, top, width, height])"
            f"(document.querySelector('{selector}').getBoundingClientRect())"
        )
        return box[0] + x * box[2], box[1] + y * box[3]

    def click_at(self, x: float, y: float) -> None:
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def mouse(self, kind: str, x: float, y: float) -> None:
        button = "none" if kind == "mouseMoved" else "left"
        self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    def touch(self, x: float, y: float) -> None:
        for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
            self.command("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    def key(self, name: str, until: str = "true") -> None:
        """Press a key until an expression is true, and let it go."""
        self.command("Input.dispatchKeyEvent", type="keyDown", key=name, code=name)
        self.wait_for(until)
        self.command("Input.dispatchKeyEvent", type="keyUp", key=name, code=name)

    def give_file(self, selector: str, path: Path) -> None:
        """Choose a file as a person does in the dialog."""
        root = self.command("DOM.getDocument")["root"]["nodeId"]
        node = self.command("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.command("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def save_downloads(self, folder: Path) -> None:
        self.command("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def screenshot(self, path: Path) -> None:
        answer = self.command("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    def requested(self) -> list[str]:
        """Addresses of all requests of this tab so far."""
        self.run("0")  # events come before the next answer
        return [
            each["params"]["request"]["url"] for each in self._events("Network.requestWillBeSent")
        ]

    def complaints(self) -> list[str]:
        """Errors in the console: exceptions, violations of the security policy."""
        self.run("0")
        thrown = [json.dumps(each["params"]) for each in self._events("Runtime.exceptionThrown")]
        logged = [each["params"]["entry"] for each in self._events("Log.entryAdded")]
        return thrown + [entry["text"] for entry in logged if entry["level"] == "error"]

    def _events(self, method: str) -> list[dict[str, Any]]:
        return [
            each
            for each in self._browser.events
            if each.get("sessionId") == self._session and each["method"] == method
        ]


def wait_until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait for something outside of the browser."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.05)
