"""Turns the body of a request into one or two pictures, within limits that are checked before decoding."""

import re
import struct
import threading
from typing import List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from jetson.arrays import Array
from jetson.errors import RequestError

LARGEST_BODY = 16 << 20  # bytes of a request
LARGEST_PICTURE = 25000000  # pixels
ENOUGH = 1920  # pixels of the longer side: what a card needs, and memory for nothing more
PARTS = 16
PNG = b"\x89PNG\r\n\x1a\n"
FRAME_MARKERS = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start of frame, in all of JPEG's variants
BARE_MARKERS = set(range(0xD0, 0xD9)) | {0x01}  # without a length

_decoding = threading.BoundedSemaphore(2)  # a large picture takes 75 MB for a moment


class Upload(NamedTuple):
    """A decoded picture, uint8 [H, W, 3] BGR, and how many pixels of the sent one make one of it."""

    image: Array
    scale: float


def pictures_of(content_type: str, body: bytes) -> List[Upload]:
    """Decode the one or two pictures of a request.

    Args:
        content_type: `multipart/form-data` with its boundary, or anything else for a bare picture.
        body: bytes of the request.

    Raises:
        RequestError: the body holds no picture, more than two, or one that is too large or damaged.
    """
    several = content_type.lower().startswith("multipart/")
    found = _parts(content_type, body) if several else [body]
    if not 1 <= len(found) <= 2:
        problem = "send one picture of a table or two of a card each, not {}".format(len(found))
        raise RequestError(400, problem)
    for data in found:
        width, height = picture_size(data)
        if width * height > LARGEST_PICTURE:
            problem = "a picture of {} x {} is too large: at most {} million pixels"
            raise RequestError(413, problem.format(width, height, LARGEST_PICTURE // 1000000))
    return [_decode(data) for data in found]


def picture_size(data: bytes) -> Tuple[int, int]:
    """Read width and height from the first bytes of a JPEG or PNG, without decoding it.

    Raises:
        RequestError: it is neither, or its header is damaged.
    """
    size = None
    if data[:8] == PNG and data[12:16] == b"IHDR" and len(data) >= 24:
        size = struct.unpack(">II", data[16:24])
    elif data[:2] == b"\xff\xd8":
        size = _jpeg_size(data)
    if size is None:
        raise RequestError(415, "a picture is neither JPEG nor PNG, or its header is damaged")
    if not size[0] or not size[1]:
        raise RequestError(415, "a picture has no pixels")
    return size[0], size[1]


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


def _parts(content_type: str, body: bytes) -> List[bytes]:
    """Return the contents of a multipart body's file parts."""
    named = re.search(r'boundary=(?:"([^"]{1,70})"|([^";\s]{1,70}))', content_type)
    if named is None:
        raise RequestError(400, "the multipart body has no boundary")
    boundary = (named.group(1) or named.group(2)).encode("latin-1", "replace")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, PARTS + 1)
    if len(pieces) > PARTS + 1 or len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise RequestError(400, "the multipart body is cut short or has more than {} parts".format(PARTS))
    found = []
    for piece in pieces[1:-1]:
        head, gap, content = piece.partition(b"\r\n\r\n")
        if gap and b"filename=" in head.lower():
            found.append(content)
    return found


def _decode(data: bytes) -> Upload:
    width, height = picture_size(data)
    # JPEG can be decoded at half or a quarter of its size, which is faster and takes less memory.
    reduced = max(width, height) // ENOUGH
    flag = cv2.IMREAD_COLOR
    if reduced >= 2:
        flag = cv2.IMREAD_REDUCED_COLOR_4 if reduced >= 4 else cv2.IMREAD_REDUCED_COLOR_2
    with _decoding:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
        except cv2.error:
            image = None
        if image is None:
            raise RequestError(415, "a picture is damaged: OpenCV cannot decode it")
        longer = max(image.shape[:2])
        if longer > ENOUGH:
            size = tuple(max(1, round(side * ENOUGH / float(longer))) for side in image.shape[1::-1])
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return Upload(image, max(width, height) / float(max(image.shape[:2])))
