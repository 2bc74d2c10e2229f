"""Turns the body of a request into one or two pictures, within limits that are checked before decoding."""

import re
import threading
from typing import List, NamedTuple

import cv2

from jetson.arrays import Array
from jetson.errors import PictureError, PictureTooLargeError, RequestError
from jetson.play import pictures

LARGEST_BODY = 16 << 20  # bytes of a request
ENOUGH = 1920  # pixels of the longer side: what a card needs, and memory for nothing more
PARTS = 16
WHERE = "a picture"

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
    try:
        sizes = [pictures.check_size(data, WHERE) for data in found]
        return [_decode(data, *size) for data, size in zip(found, sizes)]  # noqa: B905
    except PictureTooLargeError as error:
        raise RequestError(413, str(error)) from None
    except PictureError as error:
        raise RequestError(415, str(error)) from None


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


def _decode(data: bytes, width: int, height: int) -> Upload:
    # JPEG can be decoded at half or a quarter of its size, which is faster and takes less memory.
    reduced = max(width, height) // ENOUGH
    flag = cv2.IMREAD_COLOR
    if reduced >= 2:
        flag = cv2.IMREAD_REDUCED_COLOR_4 if reduced >= 4 else cv2.IMREAD_REDUCED_COLOR_2
    with _decoding:
        image = pictures.decode(data, WHERE, flag)
        longer = max(image.shape[:2])
        if longer > ENOUGH:
            size = tuple(max(1, round(side * ENOUGH / float(longer))) for side in image.shape[1::-1])
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return Upload(image, max(width, height) / float(max(image.shape[:2])))
