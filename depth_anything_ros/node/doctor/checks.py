"""Diagnosis of a running graph from outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from depth_anything_ros.installed_commands import own_command, ros2_command
from depth_anything_ros.node.doctor.findings import Finding, Level, problem
from depth_anything_ros.node.doctor.graph import DepthNodeView, GraphView, State
from depth_anything_ros.node.doctor.inputs import (
    cameras_of,
    check_image,
    check_info,
    check_large_images,
    check_positions,
    check_qos,
    check_stamps,
)
from depth_anything_ros.node.doctor.outputs import (
    check_device,
    check_metres,
    check_outputs,
    repeat_own_words,
)
from depth_anything_ros.node.doctor.topics import is_below


@dataclass(frozen=True)
class Diagnosis:
    """Result of a check of a graph.

    Attributes:
        nodes: One line for each depth node.
        findings: What is wrong.
    """

    nodes: list[str]
    findings: list[Finding]


def check_graph(namespace: str = "", seconds: float = 5.0) -> Diagnosis:
    """Check the running depth nodes and their inputs.

    Args:
        namespace: Only nodes in this namespace, or of this full name; empty for all.
        seconds: How long to listen at most.

    Returns:
        What was seen.
    """
    with GraphView() as graph:
        views = graph.depth_nodes(seconds)
        wanted = "/" + namespace.strip("/")
        chosen = [view for view in views if wanted == "/" or is_below(view.name, wanted)]
        if not chosen:
            return Diagnosis([], [_no_node(graph, namespace, views)])
        findings: list[Finding] = []
        for view in chosen:
            named = list(_check_node(graph, view))
            if not any(finding.level is Level.PROBLEM for finding in named):
                named += repeat_own_words(view)
            findings += named
        return Diagnosis([_describe(view) for view in chosen], list(dict.fromkeys(findings)))


def _no_node(graph: GraphView, namespace: str, others: list[DepthNodeView]) -> Finding:
    if others:
        return problem(
            f"no depth node is in namespace '{namespace}'",
            f"there is {', '.join(view.name for view in others)}",
        )
    seen = graph.names()
    start = ros2_command(
        "launch depth_anything_ros depth_anything.launch.py", own_command(program="depth_node")
    )
    return problem(
        f"no depth node answers in {graph.domain}; nodes seen: {', '.join(seen) or 'none'}",
        f"start one ({start}); if it runs, give "
        "this terminal its ROS_DOMAIN_ID, RMW_IMPLEMENTATION and ROS_AUTOMATIC_DISCOVERY_RANGE",
    )


def _describe(view: DepthNodeView) -> str:
    model = next((f"{v['model']} on {v['device']}" for v in view.figures if "model" in v), "none")
    rates = ", ".join(
        f"{v['rate_in_hz']} Hz in, {v['rate_out_hz']} Hz out"
        for v in view.figures
        if "rate_in_hz" in v
    )
    scaler = view.parameters["scaler"]
    return f"{view.name}: {view.state}, model {model}, scaler {scaler}, {rates or 'silent'}"


def _check_node(graph: GraphView, view: DepthNodeView) -> Iterator[Finding]:
    if view.simulated_time and not graph.has_clock:
        yield problem(
            f"{view.name} has use_sim_time, but nobody publishes /clock: its time stands still",
            "start the simulator, or the bag with its clock (--clock), or set use_sim_time to "
            "false",
        )
    yield from _model_file(view)
    if view.state != State.ACTIVE.value:
        yield _not_active(view)
        return
    for link in view.inputs:
        yield from check_qos(link, view)
        yield from check_stamps(link, view)
    for camera in cameras_of(view):
        yield from check_image(graph, view, camera.image)
        yield from check_info(graph, view, camera)
        yield from check_large_images(graph, camera.image)
        yield from check_positions(graph, view, camera.image)
    yield from check_outputs(view)
    yield from check_metres(graph, view)
    yield from check_device(view)


def _model_file(view: DepthNodeView) -> Iterator[Finding]:
    for name in ("model", "scale_file"):
        path = Path(str(view.parameters.get(name, ""))).expanduser()
        if path.is_absolute() and not path.exists():
            yield problem(
                f"parameter {name} of {view.name} is '{path}', which is not on this machine",
                f"put the file there, or set {name} to one that exists",
            )


def _not_active(view: DepthNodeView) -> Finding:
    service = f"{view.name}/change_state"
    if view.state == State.UNCONFIGURED.value:
        configure = ros2_command(f"lifecycle set {view.name} configure", f"call {service}")
        return problem(
            f"{view.name} is unconfigured: no model is loaded",
            "its log says why ('cannot configure: ...'); mend that, then "
            f"{configure} and activate it",
        )
    activate = ros2_command(f"lifecycle set {view.name} activate", f"call {service}")
    return problem(
        f"{view.name} is {view.state}: it takes no images",
        f"{activate}, or let its lifecycle manager do so",
    )
