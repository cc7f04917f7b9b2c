"""docs/node.md lists what the running node really has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from ros_harness import Consumer, NodeProcess, eventually
from tiny_networks import write_red_network

from depth_anything_ros.node.reference import SERVICES, inputs, outputs
from depth_anything_ros.node.sros2_policy import policy


def test_the_tables_are_the_node_s(
    start: Callable[..., NodeProcess], consumer: Consumer, tmp_path: Path
) -> None:
    start("depth_node", model=write_red_network(tmp_path, "metric_depth"))
    consumer.wait_ready()
    node = consumer.node
    theirs = ("depth_anything", "/")
    ros = ("rcl_interfaces/", "lifecycle_msgs/", "type_description_interfaces/", "tf2_msgs/")

    def plain(found: list[tuple[str, list[str]]]) -> set[tuple[str, str]]:
        named = {
            (name, kinds[0].replace("/msg/", "/").replace("/srv/", "/")) for name, kinds in found
        }
        return {(name, kind) for name, kind in named if not kind.startswith(ros)}

    def full(
        rows: tuple[tuple[str, str, str], ...] | list[tuple[str, str, str]],
    ) -> set[tuple[str, str]]:
        return {
            (name.replace("~", "/depth_anything") if name[0] in "~/" else f"/{name}", kind)
            for name, kind, _ in rows
        }

    (profile,) = ElementTree.fromstring(policy()).iterfind("enclaves/enclave/profiles/profile")

    def granted(kind: str, right: str) -> set[str]:
        (names,) = profile.iterfind(f"{kind}s[@{right}='ALLOW']")
        texts = [each.text or "" for each in names.iterfind(kind)]
        assert len(texts) == len(set(texts))
        return {f"/{text}".replace("/~", "/depth_anything") for text in texts}

    def names_of(found: list[tuple[str, list[str]]]) -> set[str]:
        return {name for name, _ in found}

    def check() -> None:
        assert plain(node.get_subscriber_names_and_types_by_node(*theirs)) == full(inputs())
        assert plain(node.get_publisher_names_and_types_by_node(*theirs)) == full(outputs())
        assert plain(node.get_service_names_and_types_by_node(*theirs)) == full(SERVICES)
        for kind, right, found in (
            ("topic", "publish", node.get_publisher_names_and_types_by_node(*theirs)),
            ("topic", "subscribe", node.get_subscriber_names_and_types_by_node(*theirs)),
            ("service", "reply", node.get_service_names_and_types_by_node(*theirs)),
        ):
            # tf2 brings its topics along where it is installed.
            heard = names_of(found) - {"/tf", "/tf_static"}
            assert granted(kind, right) == heard

    eventually(check)
