"""All benchmarks of one machine in one Markdown file, each in a process of its own."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from depth_anything_ros.benchmark.random_network import write_random_network

_COLUMNS = "140"  # no table is cut
_CHARTS = "growth"


@dataclass(frozen=True)
class Section:
    """One benchmark of the report.

    Attributes:
        name: Its name in `--only`.
        title: Its heading.
        arguments: What comes after `depth_anything bench`.
        random: Network whose random weights are its `--model`, as `write_random_network` takes it;
            empty for none.
    """

    name: str
    title: str
    arguments: tuple[str, ...]
    random: str = ""


SECTIONS = (
    Section("network", "The network", ("network",)),
    Section("compute", "The network alone", ("compute", "--batch", "1")),
    Section("scaling", "From network depth to metres", ("scaling",)),
    Section("stages", "The node around the network", ("stages",)),
    Section("node", "The node: shell alone", ("node",)),
    Section("node_large", "The node: large images", ("node", "--size", "720x1280")),
    Section("node_embedded", "The node: embedded network", ("node", "--model", "embedded")),
    Section("node_overload", "The node: a slow network", ("node", "--network-ms", "333")),
    Section("cloud", "Point clouds", ("cloud",)),
    Section(_CHARTS, "How the cost grows", (_CHARTS,)),
)
"""Every benchmark, in the order of the report."""

_CAMERA = ("--size", "480x640")
_GPU_NETWORK = ("network", "--device", "cuda", *_CAMERA, "--batch", "1", "--batch", "8")

GPU_SECTIONS = (
    *(
        Section(f"gpu_{name}", f"On the GPU: {title}", (*_GPU_NETWORK, "--encoder", name))
        for name, title in {
            "vits": "V2 vits",
            "vitb": "V2 vitb",
            "vitl": "V2 vitl",
            "da3_base": "Depth Anything 3, any views, Base",
            "da3mono_large": "Depth Anything 3, single images, Large",
        }.items()
    ),
    *(
        Section(
            f"gpu_node_{name}",
            f"The node at 30 Hz on the GPU: {name}",
            ("node", *_CAMERA, "--rate", "30", "-p", "device:=cuda"),
            name,
        )
        for name in ("vits", "vitb")
    ),
)
"""What `bench report --gpu` runs."""


def report(sections: Sequence[Section], against: Sequence[str] = ()) -> Iterator[str]:
    """Run benchmarks one after the other.

    Args:
        sections: Which.
        against: Values of `--against` for the section "network".

    Yields:
        Markdown: a heading, then each section when it is done; one that fails gives the error.
    """
    yield f"# Performance of {platform.node()}\n"
    for section in sections:
        yield _section(section, against)


def _section(section: Section, against: Sequence[str]) -> str:
    arguments = list(section.arguments)
    if section.name == "network":
        for rival in against:
            arguments += ["--against", rival]
    shown = shlex.join(["depth_anything", "bench", *arguments])
    with tempfile.TemporaryDirectory(prefix="depth_anything_bench_") as scratch:
        charts = Path(scratch) / "charts.md"
        if section.name == _CHARTS:
            arguments += ["--markdown", str(charts)]
        if section.random:
            model = Path(scratch) / f"random_{section.random}.safetensors"
            write_random_network(section.random, model)
            arguments += ["--model", str(model)]
        done = subprocess.run(
            [sys.executable, "-m", "depth_anything_ros", "bench", *arguments],
            env={**os.environ, "COLUMNS": _COLUMNS},
            capture_output=True,
            text=True,
            check=False,
        )
        figures = charts.read_text(encoding="utf-8") if charts.exists() else ""
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    if done.returncode:
        lines += [f"failed with exit code {done.returncode}", *done.stderr.strip().splitlines()]
    text = "\n".join(lines)
    return f"## {section.title}\n\n```\n$ {shown}\n{text}\n```\n" + (figures and f"\n{figures}")
