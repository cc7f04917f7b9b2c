"""What is said once, seldom, and never at length."""

from __future__ import annotations

import pytest

from depth_anything_ros.node.runtime.log import ThrottledLog, one_line


class Heard:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str) -> bool:
        self.lines.append(f"info {message}")
        return True

    def warning(self, message: str) -> bool:
        self.lines.append(f"warning {message}")
        return True

    def error(self, message: str) -> bool:
        self.lines.append(f"error {message}")
        return True


def test_sentences_that_differ_in_numbers_and_names_are_of_one_kind() -> None:
    heard = Heard()
    said = ThrottledLog(heard, "front: ")
    for number in range(50):
        said.warn(f"'lidar{number}' is 0.{number} s behind, 1e-{number} of it")
    said.warn("another thing")
    assert heard.lines == [
        "warning front: 'lidar0' is 0.0 s behind, 1e-0 of it",
        "warning front: another thing",
    ]


def test_a_sentence_comes_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    heard = Heard()
    said = ThrottledLog(heard)
    for _ in range(3):
        said.warn("trouble")
        said.warn_once("once")
        assert said.recent == "once"
        now[0] += 8.0
    assert said.recent is None
    assert heard.lines == ["warning trouble", "warning once", "warning trouble"]


def test_text_of_messages_cannot_forge_or_flood() -> None:
    line = one_line(f"encoding 'a\n[FATAL] forged\x1b[31m{'x' * 100_000}'")
    assert "\n" not in line and "\x1b" not in line
    assert len(line) <= 504
    heard = Heard()
    said = ThrottledLog(heard)
    for number in range(1000):
        said.warn("kind " + "a" * number)
    assert len(said._said) <= 200
