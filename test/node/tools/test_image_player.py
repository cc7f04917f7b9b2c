"""The player as a camera, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from fake_webcam import FakeWebcam, bgr_of
from ros_harness import DOMAIN

from depth_anything_ros.node.messages import nanoseconds
from depth_anything_ros.node.tools import image_player
from depth_anything_ros.node.tools.image_player import ImagePlayer, PlayedItem

MakePlayer = Callable[..., ImagePlayer]


@pytest.fixture
def make_player() -> Iterator[MakePlayer]:
    """Makes a player with some parameters, without waiting for a subscriber."""
    made: list[ImagePlayer] = []

    def make(**parameters: object) -> ImagePlayer:
        settings = {"wait_for_subscriber": 0.0, **parameters}
        arguments = ["--ros-args"]
        for name, value in settings.items():
            arguments += ["-p", f"{name}:={value}"]
        rclpy.init(args=arguments, domain_id=DOMAIN)
        made.append(ImagePlayer())
        return made[-1]

    yield make
    for player in made:
        player.destroy_node()
    rclpy.try_shutdown()


def test_a_webcam_is_played_in_its_own_time(
    monkeypatch: pytest.MonkeyPatch, make_player: MakePlayer
) -> None:
    webcam = FakeWebcam(monkeypatch, pictures=3)
    player = make_player(path="webcam:0", hfov=70.0)
    played: list[PlayedItem] = []
    publish = player._publish

    def keep(item: PlayedItem) -> None:
        played.append(item)
        publish(item)

    monkeypatch.setattr(player, "_publish", keep)
    player.play()
    assert len(played) == 3
    for number, item in enumerate(played):
        assert np.array_equal(np.asarray(item.content), bgr_of(number)[..., ::-1])
        assert item.stamp is None  # stamped with now when it is published
    moments = [item.moment for item in played]
    assert moments == sorted(moments)
    assert webcam.opened == []


class TransformMessages:
    """What stands in for tf2_msgs.msg, which no wheel brings."""

    class TFMessage:
        def __init__(self, transforms: list[Any]) -> None:
            self.transforms = transforms


def test_a_recording_brings_its_transforms_those_that_move_too(
    monkeypatch: pytest.MonkeyPatch, make_player: MakePlayer, tmp_path: Path
) -> None:
    small_bag = pytest.importorskip("small_bag", reason="rosbags is not installed (extra 'demo')")
    period = small_bag.SECOND // 20
    moving = []
    for number in range(3):
        at = small_bag.static(number * period, "odom", "base", 0.5 * number, 0.0, 0.0)
        moving.append(at._replace(topic="/tf"))
    images = [small_bag.image("/image", number * period) for number in range(3)]
    fixed = small_bag.static(0, "base", "cam", 0.1, 0.2, 0.3)
    bag = small_bag.write_bag(tmp_path / "drive", [fixed, *moving, *images])
    monkeypatch.setattr(image_player, "_tf2_messages", lambda: TransformMessages)
    player = make_player(path=bag)
    sent: dict[str, list[Any]] = {"/tf": [], "/tf_static": []}
    create = player.create_publisher

    class Kept:
        def __init__(self, topic: str) -> None:
            self.publish = sent[topic].append

    def keep(kind: Any, topic: str, *arguments: Any) -> Any:
        return Kept(topic) if topic in sent else create(kind, topic, *arguments)

    monkeypatch.setattr(player, "create_publisher", keep)
    stamps: list[int] = []
    publish = player._publish

    def note(item: PlayedItem) -> None:
        publish(item)
        if isinstance(item.content, np.ndarray):
            stamps.append(player._stamp(item.stamp))

    monkeypatch.setattr(player, "_publish", note)
    player.play()
    (static,) = sent["/tf_static"]
    assert [(each.header.frame_id, each.child_frame_id) for each in static.transforms] == [
        ("base", "cam")
    ]
    places = [message.transforms[0] for message in sent["/tf"]]
    assert [place.transform.translation.x for place in places] == [0.0, 0.5, 1.0]
    assert [nanoseconds(place.header.stamp) for place in places] == stamps  # with the pictures
    assert stamps[2] - stamps[0] == 2 * period
