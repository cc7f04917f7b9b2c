"""The bodies of requests, read with a limit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.requests import Request

from depth_anything_ros.errors import DepthAnythingError, InputError

_PATIENCE_S = 30.0
"""Seconds that a browser may send nothing in the middle of a body."""


class TooLargeError(DepthAnythingError):
    """More was sent than is taken."""


async def read_chunks(request: Request, most_bytes: int) -> AsyncIterator[bytes]:
    """Read a body piece by piece.

    Args:
        request: The request.
        most_bytes: Bytes that it may have, announced or not.

    Yields:
        The pieces.

    Raises:
        TooLargeError: It is larger.
        InputError: The browser stopped in the middle.
    """
    announced = request.headers.get("content-length", "0")
    received = int(announced) if announced.isdecimal() else 0
    if received > most_bytes:
        raise TooLargeError(_too_large(most_bytes))
    received = 0
    pieces = request.stream().__aiter__()
    while True:
        try:
            piece = await asyncio.wait_for(pieces.__anext__(), _PATIENCE_S)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError as error:
            raise InputError(f"nothing came for {_PATIENCE_S:g} s; send it again") from error
        received += len(piece)
        if received > most_bytes:
            raise TooLargeError(_too_large(most_bytes))
        yield piece


async def read_json(request: Request, most_bytes: int) -> object:
    """Read a body that is JSON.

    Args:
        request: The request.
        most_bytes: Bytes that it may have.

    Returns:
        Its content.

    Raises:
        TooLargeError: It is larger.
        InputError: It is no JSON.
    """
    body = b"".join([piece async for piece in read_chunks(request, most_bytes)])
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the request is no JSON: {error}") from error


def _too_large(most_bytes: int) -> str:
    most = f"{most_bytes / 1e6:.0f} MB" if most_bytes >= 1_000_000 else f"{most_bytes} bytes"
    return f"it is larger than the {most} that this server takes"
