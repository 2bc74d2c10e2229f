"""Turns the bytes of a picture into pixels, within limits that its header must keep before it is decoded."""

import os
import struct
from typing import Optional, Tuple

import cv2
import numpy as np

from jetson.arrays import Array
from jetson.errors import PictureError, PictureTooLargeError

LARGEST = 25000000  # pixels
LARGEST_FILE = 128 << 20  # bytes: more than so many pixels need in any format
SCANNED = 12 * LARGEST  # pixels in all scans of a JPEG: each of them goes over the whole picture
PNG = b"\x89PNG\r\n\x1a\n"
FRAME_MARKERS = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start of frame, in all of JPEG's variants
BARE_MARKERS = set(range(0xD0, 0xD9)) | {0x01}  # without a length
SCAN_MARKER = b"\xff\xda"


def read_picture(path: str) -> Array:
    """Read a picture as uint8 [H, W, 3] BGR.

    Raises:
        PictureError: it is not there, cannot be read, is none, or is larger than the limits.
    """
    if not os.path.isfile(path):
        raise PictureError(path, "does not exist: check the name")
    try:
        with open(path, "rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        raise PictureError(path, "cannot be read ({})".format(error.strerror)) from None
    if len(data) > LARGEST_FILE:
        raise PictureTooLargeError(path, "has more than {} MiB: save it smaller".format(LARGEST_FILE >> 20))
    check_size(data, path)
    return decode(data, path)


def check_size(data: bytes, where: str) -> Tuple[int, int]:
    """Return width and height as the header tells them, of a picture within the limits.

    Args:
        data: bytes of a JPEG, PNG, WebP or BMP.
        where: what to call it in messages.

    Raises:
        PictureTooLargeError: it has too many pixels, or too many scans for so many.
        PictureError: it is of no such format, or its header is damaged.
    """
    size = _size(data)
    if size is None:
        raise PictureError(where, "is no JPEG, PNG, WebP or BMP, or its header is damaged")
    width, height = size
    if not width or not height:
        raise PictureError(where, "has no pixels")
    if width * height > LARGEST:
        problem = "has {} x {} pixels: scale it down to {} million at most"
        raise PictureTooLargeError(where, problem.format(width, height, LARGEST // 1000000))
    if data[:2] == b"\xff\xd8" and data.count(SCAN_MARKER) * width * height > SCANNED:
        problem = "has {} scans, too many for its {} x {} pixels: save it again as a baseline JPEG"
        raise PictureTooLargeError(where, problem.format(data.count(SCAN_MARKER), width, height))
    return width, height


def decode(data: bytes, where: str, flag: int = cv2.IMREAD_COLOR) -> Array:
    """Decode bytes that `check_size` has passed as uint8 [H, W, 3] BGR; `flag` is one of `cv2.IMREAD_...`.

    Raises:
        PictureError: OpenCV cannot decode them.
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:
        image = None
    if image is None:
        raise PictureError(where, "is damaged: OpenCV cannot decode it")
    return image


def _size(data: bytes) -> Optional[Tuple[int, int]]:
    if data[:8] == PNG and data[12:16] == b"IHDR" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    if data[:2] == b"\xff\xd8":
        return _jpeg_size(data)
    if data[:2] == b"BM" and len(data) >= 26:
        of_os2 = data[14:18] == b"\x0c\0\0\0"
        width, height = struct.unpack("<HH", data[18:22]) if of_os2 else struct.unpack("<ii", data[18:26])
        return abs(width), abs(height)  # a negative height is of rows from the top
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp_size(data)
    return None


def _jpeg_size(data: bytes) -> Optional[Tuple[int, int]]:
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in FRAME_MARKERS:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        if marker == 0xFF:  # padding
            place += 1
        elif marker in BARE_MARKERS:
            place += 2
        else:
            place += 2 + max(2, struct.unpack(">H", data[place + 2 : place + 4])[0])
    return None


def _webp_size(data: bytes) -> Optional[Tuple[int, int]]:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None
