"""The bytes of sensor_msgs/PointCloud2 as coordinates."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from depth_anything_ros.errors import InputError
from depth_anything_ros.formats.encodings import Data

_NEAREST_M = 0.01
"""No sensor measures nearer than this to its own origin."""

_DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
"""sensor_msgs/PointField: INT8 = 1 ... FLOAT64 = 8, as NumPy names them."""


def read_xyz(
    data: Data,
    fields: Iterable[tuple[str, int, int]],
    width: int,
    height: int,
    point_step: int,
    row_step: int,
    is_bigendian: bool = False,
) -> npt.NDArray[np.float64]:
    """Read the coordinates of a point cloud message.

    Args:
        data: The bytes, row by row.
        fields: (name, offset, datatype) of every field, as in PointField.
        width: Points per row.
        height: Rows; 1 for a cloud without order.
        point_step: Bytes per point.
        row_step: Bytes per row, padding included; not looked at when there is one row, or when the
            data has exactly width * height points.
        is_bigendian: Whether numbers have their high byte first.

    Returns:
        Nx3 float64 in the cloud's own frame and unit (metres), N = width * height, row by row;
        points a sensor did not measure stay as they are (usually NaN). Empty for a cloud of no
        points, whatever its fields.

    Raises:
        InputError: x, y or z is missing or not readable, or the sizes contradict the data.
    """
    if not width * height:  # some drivers send a bare message until they have measured
        return np.empty((0, 3), np.float64)
    dtype = _point_dtype(fields, point_step, ">" if is_bigendian else "<")
    flat = np.frombuffer(data, np.uint8)
    row_bytes = width * point_step
    if height == 1 or flat.size == height * row_bytes:
        row_step = row_bytes  # some drivers leave it 0, or set it to the size of the whole
    if row_step < row_bytes:
        raise InputError(
            f"point cloud row_step is {row_step} bytes, but {width} points of {point_step} bytes "
            f"need {row_bytes}"
        )
    needed = (height - 1) * row_step + row_bytes
    if flat.size < needed:
        raise InputError(
            f"point cloud data has {flat.size} bytes, but {width}x{height} points need {needed}"
        )
    xyz = np.empty((height, width, 3), np.float64)
    points: npt.NDArray[np.void] = np.ndarray(
        (height, width), dtype, buffer=flat, strides=(row_step, point_step)
    )
    for axis, name in enumerate("xyz"):
        xyz[..., axis] = points[name]
    return xyz.reshape(-1, 3)


def hits(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The points that a sensor measured.

    Drivers give "no return" as NaN, as infinity or as (0, 0, 0), the sensor itself.

    Args:
        points: Nx3 metres in the sensor's own frame.

    Returns:
        Mx3, those that are finite and not at the sensor.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        far = (points**2).sum(axis=1) > _NEAREST_M**2
    return points[far & np.isfinite(points).all(axis=1)]


def _point_dtype(
    fields: Iterable[tuple[str, int, int]], point_step: int, order: str
) -> np.dtype[np.void]:
    """The structure of one point, x, y and z only."""
    known = {name: (offset, datatype) for name, offset, datatype in fields}
    missing = [name for name in "xyz" if name not in known]
    if missing:
        raise InputError(
            f"point cloud has no field {', '.join(missing)} (fields: {', '.join(known) or 'none'})"
        )
    formats, offsets = [], []
    for name in "xyz":
        offset, datatype = known[name]
        if datatype not in _DATATYPES:
            raise InputError(f"point cloud field {name} has datatype {datatype}; use 1 to 8")
        number = np.dtype(order + _DATATYPES[datatype])
        if offset + number.itemsize > point_step:
            raise InputError(
                f"point cloud field {name} ends at byte {offset + number.itemsize}, "
                f"beyond point_step {point_step}"
            )
        formats.append(number)
        offsets.append(offset)
    return np.dtype(
        {"names": list("xyz"), "formats": formats, "offsets": offsets, "itemsize": point_step}
    )
