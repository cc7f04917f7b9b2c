"""The player as a camera, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from fake_webcam import FakeWebcam, bgr_of
from ros_harness import DOMAIN

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
