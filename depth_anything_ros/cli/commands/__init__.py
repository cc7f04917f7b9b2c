"""The subcommands of `depth_anything`, one module each; they register themselves in `COMMANDS`."""

from __future__ import annotations

from depth_anything_ros.cli.support.command_line import Subcommand
from depth_anything_ros.registry import Registry

COMMANDS: Registry[Subcommand] = Registry("command", "depth_anything_ros.cli.commands")
