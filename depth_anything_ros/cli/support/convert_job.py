"""One recording on its way to a recording with depth: the work behind `depth_anything convert`."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from depth_anything_ros.cli.support.engine import Work
from depth_anything_ros.cli.support.run_request import fingerprint
from depth_anything_ros.cli.support.terminal import warn
from depth_anything_ros.errors import InputError
from depth_anything_ros.formats import results
from depth_anything_ros.formats.bag_copy import BagCopy
from depth_anything_ros.formats.bags import Bag, bag_files
from depth_anything_ros.formats.recording import Recording, Topics
from depth_anything_ros.formats.remote import local_copy
from depth_anything_ros.formats.result_folder import ResultFolder
from depth_anything_ros.formats.whole_file import part_folder
from depth_anything_ros.node.parameters import NodeParameters
from depth_anything_ros.node.recorded.node import Answered, RecordedNode
from depth_anything_ros.node.runtime.model_loader import Networks, load_and_warm
from depth_anything_ros.node.setup import model_settings_of

_COMPRESSED = "sensor_msgs/msg/CompressedImage"

Advance = Callable[[int, int], None]
"""Called with the number of messages read so far and that of all."""


def _silent(done: int, total: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class ConvertOptions:
    """How recordings are converted.

    Attributes:
        folder: Where the new recordings go: a folder, or the URL of one in a store.
        parameters: The node's parameters.
        outputs: Names of the node's outputs that are added.
        topics: The topics of a recording that the user names.
        remappings: Recorded topics in place of those the node asks for.
        copied: Topics of the input that are copied; empty copies all.
        start: Seconds after the beginning of a recording from which on it is converted.
        end: Seconds after the beginning up to which; None for the end.
        storage: Format of the new recordings, as `BagCopy` has it.
        compression: Their compression, as `BagCopy` has it.
        name: Full name of the node, below which its outputs are named.
        overwrite: Convert again what is there already.
    """

    folder: str
    parameters: NodeParameters
    outputs: tuple[str, ...]
    topics: Topics = field(default_factory=Topics)
    remappings: tuple[tuple[str, str], ...] = ()
    copied: tuple[str, ...] = ()
    start: float = 0.0
    end: float | None = None
    storage: str = "auto"
    compression: str = "none"
    name: str = "/depth_anything"
    overwrite: bool = False


@dataclass(frozen=True)
class Conversion:
    """One recording to convert.

    Attributes:
        source: The recording.
        name: What the new one is called.
        url: Where it is stored on another machine (`source` is then its name alone), or empty.
        version: Of what is stored: changes when the content does.
    """

    source: Path
    name: str
    url: str = ""
    version: str = ""

    @contextmanager
    def fetched(self) -> Iterator[Path]:
        """The recording on this machine, for as long as the context lasts.

        Raises:
            InputError: It cannot be fetched.
        """
        if not self.url:
            yield self.source
            return
        with local_copy(self.url) as copy:
            yield copy


def request_of(options: ConvertOptions, conversion: Conversion) -> str:
    """A short name of what is asked of a recording.

    Args:
        options: How it is converted.
        conversion: The recording.
    """
    about = asdict(replace(options, folder="", overwrite=False))
    files: list[object] = [conversion.url, conversion.version]
    if not conversion.url:
        files = [fingerprint(file) for file in bag_files(conversion.source)]
    model = fingerprint(Path(options.parameters.model))
    text = json.dumps([about, files, model], default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_done(options: ConvertOptions, conversion: Conversion) -> bool:
    """Whether the new recording is there, whole and of the same request."""
    folder = ResultFolder(options.folder)
    return not options.overwrite and folder.is_done(
        conversion.name, request_of(options, conversion)
    )


def set_up(options: ConvertOptions, advance: Advance = _silent) -> Work:
    """Load the network once, for all recordings of a worker.

    Args:
        options: How recordings are converted.
        advance: Called with every message.

    Returns:
        What converts one `Conversion`.

    Raises:
        DepthAnythingError: The network cannot be had.
    """
    parameters = options.parameters
    networks = load_and_warm(model_settings_of(parameters), parameters.experts)
    return partial(convert, networks, options, advance=advance)


def convert(
    networks: Networks,
    options: ConvertOptions,
    conversion: Conversion,
    advance: Advance = _silent,
) -> dict[str, Any]:
    """Write a recording's messages and those of the depth node to a new recording.

    The new recording appears under its name once it is whole; NAME.json beside it comes last.

    Args:
        networks: The network, and experts for confidence.
        options: How it is converted.
        conversion: The recording.
        advance: Called with every message.

    Returns:
        Content of NAME.json.

    Raises:
        InputError: It cannot be converted, or another file is in the way.
    """
    with ResultFolder(options.folder).writing(conversion.name, options.overwrite) as folder:
        return _convert(networks, options, conversion, folder / conversion.name, advance)


def _convert(
    networks: Networks,
    options: ConvertOptions,
    conversion: Conversion,
    stem: Path,
    advance: Advance,
) -> dict[str, Any]:
    request = request_of(options, conversion)
    if not options.overwrite:
        results.check_replaceable(stem, (".json",))
        if stem.exists() and not results.own_names(stem):
            raise InputError(
                f"{stem} was not written by this program; choose another output folder, or allow "
                "it with --overwrite"
            )
    started = time.perf_counter()
    with part_folder(stem) as part:
        with conversion.fetched() as source:
            report = _write(networks, options, source, part / stem.name, advance)
        if stem.exists():
            stem.replace(part / f"{stem.name}.old")
        (part / stem.name).replace(stem)
    report["seconds"] = round(time.perf_counter() - started, 3)
    files = [f"{stem.name}/{file.name}" for file in sorted(stem.iterdir())]
    results.write_report(stem, files, report, request)
    return report


def _write(
    networks: Networks, options: ConvertOptions, source: Path, target: Path, advance: Advance
) -> dict[str, Any]:
    said: Counter[str] = Counter()

    def report(sentence: str) -> None:
        if not said[sentence]:
            warn(f"{source.name}: {sentence}")
        said[sentence] += 1

    with Bag(source, report) as bag:
        parameters, remappings = _topics_for(bag, source, options, report)
        copied = options.copied or None
        with BagCopy(
            bag, target, options.storage, options.compression, copied, options.start, options.end,
            report,
        ) as copy:  # fmt: skip
            node = RecordedNode(
                networks, parameters, copy.topics, remappings, options.outputs, options.name, report
            )
            _check_images(node, source)
            added: Counter[str] = Counter()

            def write(answers: Sequence[Answered]) -> None:
                for each in answers:
                    message = each.message
                    copy.write(message.topic, message.type, each.recorded, message.cdr)
                    added[message.topic] += 1

            copies = 0
            for number, message in enumerate(copy.messages(), 1):
                write(list(node.receive(message.topic, message.type, message.stamp, message.cdr)))
                transforms = copy.transforms(message)
                if transforms is not None:
                    node.add_transforms(*transforms)
                copies += copy.copy(message)
                advance(number, copy.message_count)
            write(list(node.finish()))
            counts = node.counts()
            span = copy.span
    return {
        "source": source.name,
        "seconds_recorded": round(span, 3),
        "copied": copies,
        "added": dict(sorted(added.items())),
        "images": counts,
        "qualities": node.qualities(),
        "warnings": sorted(said),
        **networks.model.description(),
    }


def _topics_for(
    bag: Bag, source: Path, options: ConvertOptions, report: Callable[[str], None]
) -> tuple[NodeParameters, dict[str, str]]:
    """The recorded topics in place of image, camera_info and points; and the image's transport."""
    parameters, remappings = options.parameters, dict(options.remappings)
    if any(parameters.cameras):
        return parameters, remappings
    with Recording(source, options.topics, report=report) as recording:
        kinds = bag.topics
        image = remappings.pop("image", None) or recording.image_topic
        compressed = kinds.get(image) == _COMPRESSED
        if compressed:
            parameters = replace(parameters, image_transport="compressed")
        remappings["image/compressed" if compressed else "image"] = image
        if "camera_info" not in remappings and not parameters.camera_info_url:
            info = recording.camera_info_topic
            if info is not None:
                remappings["camera_info"] = info
        if "points" in parameters.cloud_topics and "points" not in remappings:
            try:
                points = recording.points_topic
            except InputError as error:
                report(f"LiDAR points are not used: {error}")
                points = None
            if points is not None:
                remappings["points"] = points
    return parameters, remappings


def _check_images(node: RecordedNode, source: Path) -> None:
    missing = sorted(node.image_topics - node.subscribed)
    if missing:
        raise InputError(
            f"{source} has no topic {', '.join(missing)} of the type the node asks for; remap the "
            "camera's topic (-r image:=/TOPIC)"
        )
