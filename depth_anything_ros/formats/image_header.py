"""How large an encoded picture says it is, read from its header without decoding it."""

from __future__ import annotations

import struct

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_TIFF = {b"II*\0": "<", b"MM\0*": ">"}
_START_OF_FRAME = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
"""JPEG markers (ITU-T T.81, table B.1) that carry the size."""
_WIDTH_TAG, _HEIGHT_TAG, _SHORT = 256, 257, 3
"""Tags ImageWidth and ImageLength, and a type, of TIFF 6.0."""
_MOST_TAGS = 4096


def encoded_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG, PNG, TIFF, BMP or WebP picture by its header.

    Args:
        content: The encoded picture.

    Returns:
        Columns and rows; None for other formats and where the header is damaged.
    """
    try:
        if content.startswith(_PNG) and content[12:16] == b"IHDR":
            width, height = struct.unpack(">II", content[16:24])
        elif content.startswith(_JPEG):
            return _jpeg_size(content)
        elif content[:4] in _TIFF:
            return _tiff_size(content, _TIFF[content[:4]])
        elif content.startswith(b"BM"):
            width, height = map(abs, struct.unpack("<ii", content[18:26]))
        elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return _webp_size(content)
        else:
            return None
    except struct.error:
        return None
    return width, height


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(content):
        if content[at] != 0xFF:
            return None
        marker = content[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _START_OF_FRAME:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        else:
            at += 2 + int(struct.unpack(">H", content[at + 2 : at + 4])[0])
    return None


def _tiff_size(content: bytes, order: str) -> tuple[int, int] | None:
    """Size from the first directory of a TIFF 6.0 file."""
    (directory,) = struct.unpack(f"{order}I", content[4:8])
    (count,) = struct.unpack(f"{order}H", content[directory : directory + 2])
    found: dict[int, int] = {}
    for index in range(min(count, _MOST_TAGS)):
        at = directory + 2 + 12 * index
        tag, kind = struct.unpack(f"{order}HH", content[at : at + 4])
        if tag in (_WIDTH_TAG, _HEIGHT_TAG):
            layout, size = (f"{order}H", 2) if kind == _SHORT else (f"{order}I", 4)
            (found[tag],) = struct.unpack(layout, content[at + 8 : at + 8 + size])
    if len(found) < 2:
        return None
    return found[_WIDTH_TAG], found[_HEIGHT_TAG]


def _webp_size(content: bytes) -> tuple[int, int] | None:
    """Size from the first chunk of a WebP file (RFC 9649, sections 2.5 to 2.7)."""
    chunk = content[12:16]
    if chunk == b"VP8X":
        low, high = struct.unpack("<HB", content[24:27]), struct.unpack("<HB", content[27:30])
        return low[0] + (low[1] << 16) + 1, high[0] + (high[1] << 16) + 1
    if chunk == b"VP8L":
        (bits,) = struct.unpack("<I", content[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", content[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None
