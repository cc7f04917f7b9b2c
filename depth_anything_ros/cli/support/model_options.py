"""The options that choose a network and how it runs."""

from __future__ import annotations

from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from depth_anything_ros.cli.support.command_line import LateChoice, gathered, option
from depth_anything_ros.settings import ModelSettings

DEVICE = option(
    "--device", default="auto", help="auto, cpu, cuda, cuda:1, mps; auto takes the fastest."
)


def _backends() -> Sequence[str]:
    from depth_anything_ros.inference.backend import backend_choices

    return backend_choices()


def _precisions() -> Sequence[str]:
    from depth_anything_ros.inference.backend import precision_choices

    return precision_choices()


def _models(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names for the completion of shells; files where no name begins so."""
    from depth_anything_ros.network.catalogue import EMBEDDED_FILES, catalogue

    names = [name for name in (*EMBEDDED_FILES, *catalogue()) if name.startswith(incomplete)]
    return [CompletionItem(n) for n in names] or [CompletionItem(incomplete, type="file")]


def _model_settings(
    model: str, input_size: int | None, device: str, backend: str, precision: str
) -> ModelSettings:
    return ModelSettings(model, device, precision, input_size or 0, backend=backend)


model_options = gathered(
    "model_settings",
    _model_settings,
    option(
        "--model",
        "-m",
        default="auto",
        shell_complete=_models,
        help="Catalogue name, or a .pth, .safetensors or .onnx file.",
    ),
    option(
        "--input-size",
        type=click.IntRange(min=14),
        help="Shorter side in the network; by default as it was trained.",
    ),
    DEVICE,
    option(
        "--backend",
        type=LateChoice(_backends),
        default="auto",
        help="Library that runs the network; auto takes the fastest.",
    ),
    option(
        "--precision",
        type=LateChoice(_precisions),
        default="auto",
        help="Arithmetic of the network; int8 after `export MODEL --int8 FOLDER`.",
    ),
)
"""Adds the options; the function gets them as `model_settings`."""
