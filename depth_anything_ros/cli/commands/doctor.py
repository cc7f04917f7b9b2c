"""`depth_anything doctor`: why no depth comes, in plain sentences."""

from __future__ import annotations

from typing import Annotated

import typer

from depth_anything_ros.cli.support.terminal import STDOUT
from depth_anything_ros.errors import require
from depth_anything_ros.node.doctor.findings import Finding, Level
from depth_anything_ros.node.doctor.machine import check_machine

_COLOURS = {Level.PROBLEM: "red", Level.WARNING: "yellow"}


def doctor(
    namespace: Annotated[
        str, typer.Argument(help="Only depth nodes in this namespace, or of this full name.")
    ] = "",
    seconds: Annotated[
        float, typer.Option(help="How long to listen to the nodes' topics at most.", min=0.1)
    ] = 5.0,
) -> None:
    """Look at the running nodes, their topics and this machine, and say what is wrong.

    Ends with 0 when depth can come, with 1 when something keeps it from coming.
    """
    findings = check_machine()
    for finding in findings:  # at once: what follows may not even start on such a machine
        _print(finding)
    require("rclpy", "ros")
    from depth_anything_ros.node.doctor.checks import check_graph

    diagnosis = check_graph(namespace, seconds)
    for line in diagnosis.nodes:
        STDOUT.print(line, markup=False, soft_wrap=True)
    for finding in diagnosis.findings:
        _print(finding)
    findings += diagnosis.findings
    problems = sum(finding.level is Level.PROBLEM for finding in findings)
    if problems:
        raise typer.Exit(1)
    STDOUT.print("healthy, with warnings" if findings else "healthy")


def _print(finding: Finding) -> None:
    style = _COLOURS[finding.level]
    STDOUT.print(
        f"{finding.level.value}: {finding.sentence}", style=style, markup=False, soft_wrap=True
    )
    STDOUT.print(f"  remedy: {finding.remedy}", markup=False, soft_wrap=True)
