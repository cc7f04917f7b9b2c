"""`depth_anything bench`: what the network, the node and its parts cost on this machine.

One module per benchmark; they register themselves in `BENCHMARKS`.
"""

from __future__ import annotations

from depth_anything_ros.cli.commands import COMMANDS
from depth_anything_ros.cli.support.command_line import RegistryGroup, Subcommand
from depth_anything_ros.registry import Registry

BENCHMARKS: Registry[Subcommand] = Registry("benchmark", "depth_anything_ros.cli.commands.bench")

bench = RegistryGroup(
    BENCHMARKS, name="bench", help="Measure speed: contenders take turns, medians count."
)
COMMANDS.register(Subcommand("bench", bench, 100))
