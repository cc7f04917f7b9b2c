"""Networks in 8-bit integers: quantised with real pictures, kept where the depth stays right.

Post-training quantisation by NNCF: the pictures give the range of every activation. Softmax, layer
norms and the last convolution stay in floating point, for they carry the depth itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from depth_anything_ros.errors import InputError, SettingError, require
from depth_anything_ros.frames import FloatImage, RgbImage
from depth_anything_ros.inference.accuracy_gate import difference
from depth_anything_ros.inference.backends.openvino.core import openvino_core
from depth_anything_ros.inference.backends.openvino.estimator import (
    OpenVinoEstimator,
    last_convolutions,
)
from depth_anything_ros.inference.backends.openvino.graphs import openvino_graph
from depth_anything_ros.inference.build_cache import file_hash, find, get_or_build
from depth_anything_ros.inference.onnx_spec import write_yaml
from depth_anything_ros.installed_commands import own_command
from depth_anything_ros.network.checkpoints import ModelFile

LIMIT = 0.02
"""Mean relative difference to float32 up to which an 8-bit network is kept."""

FEWEST_PICTURES = 8

_KIND = "openvino-int8"
_HELD_OUT = 4  # every 4th picture tests what the others made


def quantised_graph(file: ModelFile, root: Path | None = None) -> Path:
    """The 8-bit graph that `quantise` made of a model.

    Args:
        file: The model.
        root: Folder of the cache; None for the user's.

    Returns:
        OpenVINO's .xml file, its .bin and the spec's YAML beside it.

    Raises:
        SettingError: There is none, or it is damaged.
    """
    entry = find(f"{file.path.stem}-{_KIND}", _made_of(file), root)
    if entry is None:
        raise SettingError(
            f"precision is 'int8' but {file.name} was not quantised on this machine; run "
            f"`{own_command(f'export {file.path} --int8 FOLDER')}` with a folder of pictures from "
            "your camera, or use precision auto"
        )
    return entry / "network.xml"


def quantise(
    file: ModelFile, pictures: Sequence[RgbImage], limit: float = LIMIT, root: Path | None = None
) -> tuple[Path, float]:
    """Quantise a model with some pictures and keep it for `quantised_graph`.

    Every fourth picture is not used for it but shows how far the depth has moved.

    Args:
        file: The model.
        pictures: HxWx3 uint8 RGB each, of the places where it will be used.
        limit: Largest mean relative difference to float32 on the held-out pictures.
        root: Folder of the cache; None for the user's.

    Returns:
        The .xml file, and its mean relative difference (AbsRel, relative networks aligned).

    Raises:
        InputError: There are too few pictures.
        SettingError: The depth differs too much.
        MissingExtraError: nncf or openvino is not installed.
    """
    if len(pictures) < FEWEST_PICTURES:
        raise InputError(
            f"{len(pictures)} picture(s) are too few to quantise with; give at least "
            f"{FEWEST_PICTURES}, better some dozens"
        )
    require("nncf", "openvino")
    source = openvino_graph(file)
    reference = OpenVinoEstimator(source)
    held_out = pictures[::_HELD_OUT]
    shown = [picture for i, picture in enumerate(pictures) if i % _HELD_OUT]
    figure = 0.0

    def build(folder: Path) -> None:
        nonlocal figure
        path = folder / "network.xml"
        write_yaml(reference.spec, path.with_suffix(".yaml"))
        _write_int8(source, path, reference, shown)
        ours = OpenVinoEstimator(path, precision="int8")
        figure = difference(_values(ours, held_out), _values(reference, held_out), ours.kind)
        if not figure <= limit:
            raise SettingError(
                f"int8 depth of {file.name} differs from float32 by {100 * figure:.1f} % (AbsRel "
                f"on {len(held_out)} held-out pictures), more than {100 * limit:g} %; give more "
                "pictures of the places where it will be used, or use precision auto"
            )

    entry = get_or_build(f"{file.path.stem}-{_KIND}", _made_of(file), build, root, anew=True)
    return entry / "network.xml", figure


def _made_of(file: ModelFile) -> dict[str, str]:
    """Not the versions of libraries: newer ones read the file, and the pictures may be gone."""
    # The file's name, not the model's: `embedded` and the path of its file are the same network.
    return {"weights": file_hash(file.path), "name": file.path.stem}


def _values(estimator: OpenVinoEstimator, pictures: Sequence[RgbImage]) -> list[FloatImage]:
    return [estimator.estimate([picture])[0].values for picture in pictures]


def _write_int8(
    source: Path, target: Path, reference: OpenVinoEstimator, pictures: Sequence[RgbImage]
) -> None:
    os.environ.setdefault("NNCF_CI", "1")  # else it reports its use to its makers
    nncf = require("nncf", "openvino")
    openvino = require("openvino", "openvino")
    logging.getLogger("nncf").setLevel(logging.ERROR)
    model = openvino_core().read_model(source)
    dataset = nncf.Dataset(pictures, lambda picture: {0: reference.network_input(picture)})
    parameters = require("nncf.quantization.advanced_parameters", "openvino")
    ranges = require("nncf.quantization.range_estimator", "openvino")
    with contextlib.redirect_stdout(sys.stderr):  # its progress is no result
        quantised = nncf.quantize(
            model,
            dataset,
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(pictures),
            ignored_scope=nncf.IgnoredScope(names=last_convolutions(model)),
            # With FastDepth 0.7 and 0.9 % in place of the 1.9 and 1.3 % of NNCF's own choice on
            # two held-out pictures of five, the same on the others.
            advanced_parameters=parameters.AdvancedQuantizationParameters(
                activations_range_estimator_params=ranges.RangeEstimatorParametersSet.HISTOGRAM
            ),
        )
    openvino.save_model(quantised, target)
