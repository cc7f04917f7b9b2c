"""Settings -> one camera's scaler: a registered source, or the best of them (`auto`)."""

from __future__ import annotations

from depth_anything_ros.errors import SettingError
from depth_anything_ros.metric.live import LiveScaler
from depth_anything_ros.metric.scaler import MetricScaler
from depth_anything_ros.metric.source import SCALE_SOURCES, FrameInput, SourceRecord
from depth_anything_ros.metric.sources.network import NetworkScaler
from depth_anything_ros.metric.tracking import TrackingSettings
from depth_anything_ros.network.model_info import ModelInfo
from depth_anything_ros.settings import ScalerSettings

AUTO = "auto"
"""The scaler that takes the first source that can measure."""

PRIOR = "prior"
"""The refinement that a network finishes."""

NONE = "none"
"""The scaler that leaves the network's values as they are."""


def scaler_names() -> tuple[str, ...]:
    """Every value of the setting `scaler`: auto, none and the registered sources."""
    return (AUTO, NONE, *SCALE_SOURCES.names())


def check_scaler_name(name: str) -> None:
    """Refuse the name of no scaler.

    Args:
        name: The setting `scaler`.

    Raises:
        SettingError: No scaler has this name.
    """
    if name not in scaler_names():
        raise SettingError(f"scaler is '{name}'; use one of {', '.join(scaler_names())}")


def sources_of(name: str) -> tuple[SourceRecord, ...]:
    """The sources that a scaler may use, best first.

    Args:
        name: The setting `scaler`.

    Returns:
        All sources for auto, none for none, else the one of this name.

    Raises:
        SettingError: No scaler has this name.
    """
    check_scaler_name(name)
    return tuple(record for record in SCALE_SOURCES if name in (AUTO, record.name))


def inputs_of(name: str) -> frozenset[FrameInput]:
    """What of a frame a scaler may use.

    Args:
        name: The setting `scaler`.

    Returns:
        The inputs of all its sources.

    Raises:
        SettingError: No scaler has this name.
    """
    return frozenset().union(*(record.inputs for record in sources_of(name)))


def completion_of(settings: ScalerSettings) -> str:
    """The network that a scaler needs besides the one whose values it scales.

    `make_scaler` loads it, which takes seconds, or a download; once loaded it is kept.

    Args:
        settings: Name of the scaler and its settings.

    Returns:
        Catalogue name or path, empty where none is needed.
    """
    return "" if settings.scaler == NONE or settings.refinement != PRIOR else settings.prior_model


def make_scaler(settings: ScalerSettings, info: ModelInfo) -> MetricScaler:
    """Set up one camera's scaler.

    Args:
        settings: Name of the scaler and its settings.
        info: The network whose values it will scale.

    Returns:
        A scaler with nothing measured yet; a `LiveScaler` where it follows measurements.

    Raises:
        SettingError: The settings do not fit together or not to the network.
        InputError: The scale file cannot be used.
        CheckpointError: The network of the refinement cannot be used.
    """
    if settings.scaler == NONE:
        return NetworkScaler()
    records = sources_of(settings.scaler)
    if settings.scaler == AUTO:
        records = tuple(each for each in records if each.why_not(settings, info) is None)
    else:
        reason = records[0].why_not(settings, info)
        if reason is not None:
            raise SettingError(reason)
    sources = [record.make(settings, info) for record in records]
    if settings.scaler != AUTO and isinstance(sources[0], MetricScaler):
        return sources[0]  # its scale never changes, so there is nothing to follow
    tracking = TrackingSettings(max_age=settings.max_age)
    if settings.refinement != PRIOR:
        return LiveScaler(sources, tracking, settings.refinement, seed=settings.seed)
    # Late: it loads torch, which not everybody has.
    from depth_anything_ros.inference.completion import load_completion

    completion = load_completion(settings.prior_model)
    return LiveScaler(sources, tracking, seed=settings.seed, completion=completion)
