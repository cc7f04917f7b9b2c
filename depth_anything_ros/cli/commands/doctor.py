"""`depth_anything doctor`: diagnosis of nodes, topics and machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import Subcommand, command, option

if TYPE_CHECKING:
    from depth_anything_ros.node.doctor.findings import Finding

_COLOURS = {"problem": "red", "warning": "yellow"}


@command("doctor")
@click.argument("namespace", default="")
@option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=5.0,
    help="How long to listen to the nodes' topics at most.",
)
@option("--json", "as_json", is_flag=True, help="Print findings as JSON.")
@click.pass_context
def doctor(context: click.Context, namespace: str, seconds: float, as_json: bool) -> None:
    """Say what is wrong with the running nodes, their topics and this machine.

    NAMESPACE keeps to the depth nodes in it, or to the one of this full name. Ends with 0 when
    depth can come, with 1 when something keeps it from coming.
    """
    if not diagnose(namespace, seconds, as_json):
        context.exit(1)


def diagnose(namespace: str = "", seconds: float = 5.0, as_json: bool = False) -> bool:
    """Print what is wrong.

    Args:
        namespace: Only depth nodes in this namespace, or of this full name.
        seconds: How long to listen to the nodes' topics at most.
        as_json: Print one JSON object in place of sentences.

    Returns:
        Whether depth can come.

    Raises:
        MissingExtraError: rclpy is not installed.
    """
    from depth_anything_ros.cli.support.terminal import say
    from depth_anything_ros.node.doctor.findings import Level
    from depth_anything_ros.node.doctor.machine import check_machine
    from depth_anything_ros.node.start import require_ros

    findings = check_machine()
    if not as_json:
        for finding in findings:  # at once: what follows may not even start on such a machine
            _print(finding)
    require_ros()
    from depth_anything_ros.node.doctor.checks import check_graph

    diagnosis = check_graph(namespace, seconds)
    healthy = all(
        finding.level is not Level.PROBLEM for finding in (*findings, *diagnosis.findings)
    )
    if as_json:
        _print_json(healthy, diagnosis.nodes, [*findings, *diagnosis.findings])
        return healthy
    for line in diagnosis.nodes:
        say(line)
    for finding in diagnosis.findings:
        _print(finding)
    if healthy:
        say("healthy, with warnings" if findings or diagnosis.findings else "healthy")
    return healthy


def _print(finding: Finding) -> None:
    from depth_anything_ros.cli.support.terminal import STDOUT, say

    level = finding.level.value
    STDOUT.print(
        f"{level}: {finding.sentence}", style=_COLOURS[level], markup=False, soft_wrap=True
    )
    say(f"  remedy: {finding.remedy}")


def _print_json(healthy: bool, nodes: list[str], findings: list[Finding]) -> None:
    import json

    rows = [
        {"level": each.level.value, "sentence": each.sentence, "remedy": each.remedy}
        for each in findings
    ]
    click.echo(json.dumps({"healthy": healthy, "nodes": nodes, "findings": rows}, indent=2))


COMMANDS.register(Subcommand("doctor", doctor, 80))
