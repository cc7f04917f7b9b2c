"""The soak of the node: a short one finds nothing, and what it looks for is found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("rclpy")

from depth_anything_ros.benchmark.node import soak as module
from depth_anything_ros.benchmark.node.soak import Soak, soak
from depth_anything_ros.cli.main import app


def test_the_node_is_in_order_after_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 90.0)  # other tests may have the machine
    report = soak(Soak(math.inf, changes=20, rate=10.0, pause=0.1, seed=2))
    assert report["findings"] == []
    assert sum(report["changes"].values()) == 20
    assert min(report["answers"].values()) >= 2 * 4  # two in every look
    assert len(report["subscriptions"]) == 1
    assert len(report["series"]) == report["looks"] == 4
    assert {each["subscriptions"] for each in report["series"]} == set(report["subscriptions"])
    assert min(each["memory_mb"] for each in report["series"]) > 50


def _record(memory: list[float], **others: list[int]) -> module._Record:
    held = [module._Held(60.0 * number, each, 16, 23, 8) for number, each in enumerate(memory)]
    for what, values in others.items():
        for each, value in zip(held, values, strict=True):
            setattr(each, what, value)
    return module._Record(Counter(), held)


def test_drift_is_the_slope_after_the_warm_up() -> None:
    # 200 MB growing by 1 MB a minute is 30 % of 200 MB per hour; the warm-up's 90 MB do not count.
    memory = [100.0, 190.0, *(200.0 + number for number in range(8))]
    record = _record(memory)
    report = module._judged(record, 600.0)
    assert report["memory_drift_percent_per_hour"] == pytest.approx(100 * 60 / 203.5, abs=0.01)
    assert record.findings == []
    assert module._judged(record, 3600.0)
    assert record.findings == ["memory grew by 29.48 % per hour"]


def test_the_command_tells_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = []

    def soaked(plan: Soak, progress: Callable[[float], None]) -> dict[str, Any]:
        plans.append(plan)
        record = _record([200.0] * 9 + [201.0], threads=[16] * 7 + [30] * 3)
        judged = module._judged(record, 36.0)
        progress(1.0)
        return {
            "seconds": 36.0,
            "changes": {"clock jumps": 7},
            "answers": {"front": 5, "back": 6},
            "longest_silence_s": 0.4,
            **judged,
            "findings": record.findings if len(plans) > 1 else [],
        }

    monkeypatch.setattr(module, "soak", soaked)
    done = CliRunner().invoke(app, ["bench", "soak", "--hours", "0.01", "--seed", "3"])
    assert done.exit_code == 0, done.output
    assert plans[0] == Soak(36.0, seed=3)
    for words in ("clock jumps", "5 of front, 6 of back", "at most 0.4 s of silence", "200 MB"):
        assert words in " ".join(done.stdout.split())
    done = CliRunner().invoke(app, ["bench", "soak", "--hours", "0.01"])
    assert done.exit_code == 1
    assert "threads grew from 16" in str(done.exception)


def test_leaks_are_found() -> None:
    record = _record([200.0] * 10, threads=list(range(16, 26)))
    module._judged(record, 600.0)
    assert record.findings == ["threads grew from 18 to 24"]
    record = _record([200.0] * 10, subscriptions=[8] * 9 + [9])
    module._judged(record, 600.0)
    assert record.findings == ["the node in order has [8, 9] subscriptions"]
    record = _record([200.0] * 5 + [300.0] * 5)
    module._judged(record, 600.0)
    assert record.findings == ["memory grew by 100 MB"]
