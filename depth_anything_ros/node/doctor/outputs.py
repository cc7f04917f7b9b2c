"""What goes out: consumers, metres, the device, and faults that the node itself reports."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

from diagnostic_msgs.msg import DiagnosticStatus

from depth_anything_ros.frames import PredictionKind, Quality
from depth_anything_ros.metric.selection import inputs_of
from depth_anything_ros.node.doctor.findings import Finding, problem, warning
from depth_anything_ros.node.doctor.graph import POINT_TYPES, DepthNodeView, GraphView
from depth_anything_ros.node.doctor.inputs import check_qos
from depth_anything_ros.node.doctor.machine import has_gpu
from depth_anything_ros.node.doctor.topics import is_below, near_names
from depth_anything_ros.node.runtime.statistics import DropReason


def check_outputs(view: DepthNodeView) -> Iterator[Finding]:
    """Subscribers of the outputs, and their QoS."""
    for link in view.outputs:
        yield from check_qos(link, view, incoming=False)
    if not any(link.others for link in view.outputs):
        yield warning(
            f"nobody subscribes to an output of {view.name}, so it computes nothing",
            f"subscribe, for example to {view.name}/depth/image",
        )


def check_metres(graph: GraphView, view: DepthNodeView) -> Iterator[Finding]:
    """Relative disparity or depth that nothing makes metres of."""
    scaler = view.parameters["scaler"]
    silent = [link.topic for link in view.inputs if link.kind in POINT_TYPES and not link.others]
    there = [t for t in graph.published(*POINT_TYPES) if not is_below(t, view.name)]
    sources = f"; nobody publishes {', '.join(silent)}" if silent else ""
    sources += f"; there is {', '.join(near_names(silent[0], there))}" if silent and there else ""
    for figures in view.figures:
        # Before the first answer, only a scaler that never measures is known to fail.
        measures = bool(inputs_of(str(scaler)))
        quality = figures.get("scale_quality", "" if measures else Quality.INVALID.value)
        kind = PredictionKind(figures.get("kind", PredictionKind.METRIC_DEPTH.value))
        if not kind.metric and quality == Quality.INVALID.value:
            yield problem(
                f"model {figures['model']} gives {kind.words} and scaler {scaler} makes no "
                f"metres of it ({figures.get('scale_reason', 'it never measures')}), so the depth "
                f"of {view.name} stays empty{sources}",
                "take a metric model, or give it a measure: a LiDAR or range sensor (cloud_topics, "
                "scan_topics, range_topics), camera_height above flat ground, odometry, or scaler "
                "fixed with scale and shift",
            )


def check_device(view: DepthNodeView) -> Iterator[Finding]:
    """Whether a GPU lies idle."""
    figures = next(iter(view.figures), {})
    if not figures.get("device", "").startswith("cpu") or not has_gpu():
        return
    if view.parameters.get("device") == "cpu":
        remedy = "set device to auto and configure the node again"
    elif figures["backend"].startswith("onnx"):
        remedy = "install onnxruntime-gpu in place of onnxruntime"
    else:
        remedy = (
            f"torch {importlib.metadata.version('torch')} finds no GPU: install a build with CUDA "
            "that fits the driver (nvidia-smi)"
        )
    yield warning(f"{view.name} runs on the CPU, but this machine has an NVIDIA GPU", remedy)


def repeat_own_words(view: DepthNodeView) -> Iterator[Finding]:
    """What the node itself complains about."""
    for status, figures in zip(view.statuses.values(), view.figures, strict=True):
        dropped = [
            f"{reason.key} {figures[reason.key]}"
            for reason in DropReason
            if reason.is_failure and reason.key in figures
        ]
        if dropped and figures.get("frames_out") == "0":
            yield problem(
                f"{status.name}: no image was answered ({', '.join(dropped)})",
                "its log says more about each",
            )
        if status.level != DiagnosticStatus.OK:
            make = warning if status.level == DiagnosticStatus.WARN else problem
            # The node's own sentences end in what to do.
            sentence, _, remedy = status.message.rpartition("; ")
            if sentence:
                yield make(f"{status.name} reports: {sentence}", remedy)
            else:
                yield make(f"{status.name} reports: {remedy}", "look into its log")
