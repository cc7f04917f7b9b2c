"""What the node may say and hear, as an access policy for SROS2.

The format is that of `ros2 security create_permission` (sros2, policy version 0.2.0).
"""

from __future__ import annotations

from xml.etree import ElementTree

from depth_anything_ros.node.reference import SERVICES, inputs, outputs

NODE = "depth_anything"

_LIFECYCLE_PUBLISHES = ("/parameter_events", "/rosout", "~/transition_event")
_LIFECYCLE_SERVICES = (
    *("~/describe_parameters", "~/get_parameter_types", "~/get_parameters", "~/list_parameters"),
    *("~/set_parameters", "~/set_parameters_atomically", "~/get_type_description"),
    *("~/change_state", "~/get_available_states", "~/get_available_transitions", "~/get_state"),
    "~/get_transition_graph",
)
"""What rclpy adds to every lifecycle node."""


def policy() -> str:
    """The policy of the node with its default parameters and without remappings.

    Returns:
        XML. Further sensor topics (parameters cloud_topics, imu_topic, ...), remappings and
        namespaces have to be added by hand.
    """
    root = ElementTree.Element("policy", version="0.2.0")
    enclave = ElementTree.SubElement(
        ElementTree.SubElement(root, "enclaves"), "enclave", path=f"/{NODE}"
    )
    profiles = ElementTree.SubElement(enclave, "profiles")
    profile = ElementTree.SubElement(profiles, "profile", ns="/", node=NODE)
    published = {*_LIFECYCLE_PUBLISHES, *(name for name, _, _ in outputs())}
    served = {*_LIFECYCLE_SERVICES, *(name for name, _, _ in SERVICES)}
    subscribed = {name for name, _, _ in inputs()}
    for kind, right, names in (
        ("service", "reply", served),
        ("topic", "publish", published),
        ("topic", "subscribe", subscribed),
    ):
        granted = ElementTree.SubElement(profile, f"{kind}s", {right: "ALLOW"})
        for name in sorted(names):
            ElementTree.SubElement(granted, kind).text = name.removeprefix("/")
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, "unicode")}\n'
