"""A photo's file to its size, once it is certain that the whole picture can be read."""

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from dobble.errors import PhotoError

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
_PNG_END = b"IEND\xaeB`\x82"
_MOST_PIXELS = 80_000_000
_UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, zlib.error)


@dataclass(frozen=True)
class PhotoSize:
    """Sizes in pixels as (width, height): as stored, and as shown once EXIF has turned the photo upright."""

    stored: tuple[int, int]
    upright: tuple[int, int]


def check_photo(path: Path) -> PhotoSize:
    """Decode a whole photo, as coarsely as its format allows, and give its size.

    Raises:
        PhotoError: if the file is missing, no picture, cut short, or too large to decode on a small device.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns about odd metadata and about sizes; sizes have a limit of their own here.
            warnings.simplefilter("ignore")
            return _decoded(path)
    except FileNotFoundError as error:
        raise PhotoError(path, "is missing: put the photo there, or pull the data again") from error
    except UnidentifiedImageError as error:
        raise PhotoError(path, "is no JPEG, PNG, WebP, BMP or TIFF picture, or is damaged") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(path, _too_large(None)) from error
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise PhotoError(path, f"cannot be read: {error.strerror}") from error
        raise PhotoError(path, f"is cut short or damaged ({error}): put the whole photo there") from error


def _decoded(path: Path) -> PhotoSize:
    with Image.open(path, formats=_FORMATS) as image:
        stored = image.size
        if stored[0] * stored[1] > _MOST_PIXELS:
            raise PhotoError(path, _too_large(stored))
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        if orientation in range(2, 9) and image.format not in ("JPEG", "MPO", "PNG"):
            problem = f"has an EXIF orientation, which not all programs heed in a {image.format} file"
            raise PhotoError(path, f"{problem}: turn the pixels upright and remove it")
        # A JPEG at 1/8 is still read to its last byte, in half the time.
        image.draft("RGB", (1, 1))
        image.load()
        if image.format == "PNG" and _PNG_END not in path.read_bytes():
            # Pillow is content once it has all pixels; OpenCV wants the end of the file too.
            raise PhotoError(path, "is cut short or damaged (no end): put the whole photo there")
    return PhotoSize(stored, stored[::-1] if orientation in range(5, 9) else stored)


def _too_large(size: tuple[int, int] | None) -> str:
    shown = f"of {size[0]} x {size[1]} pixels " if size else ""
    return f"is a picture {shown}with more than {_MOST_PIXELS // 1_000_000} megapixels: scale it down"
