"""Pascal VOC files (annotations, image sets, the list of classes) to records and back.

The layout is that of the VOC2012 development kit: boxes in whole pixels, counted from 1, both ends inside.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException, ElementTree
from numpy.typing import NDArray

from dobble.errors import AnnotationError, MissingInputError

VOC_SUMMARY = "summary.json"
"""What `convert` says of all photos together, beside their annotations."""


@dataclass(frozen=True)
class VocObject:
    """One symbol; `xmin` to `ymax` are whole pixels, counted from 1, both ends inside the box."""

    name: str
    xmin: int
    ymin: int
    xmax: int
    ymax: int
    truncated: bool = False
    difficult: bool = False


@dataclass(frozen=True)
class VocPhoto:
    """One photo, its size in pixels, and its symbols."""

    filename: str
    width: int
    height: int
    objects: tuple[VocObject, ...]

    @property
    def photo_id(self) -> str:
        """The name without its suffix, as image sets list it."""
        return Path(self.filename).stem

    @property
    def names(self) -> list[str]:
        """The class of each symbol, N of them."""
        return [entry.name for entry in self.objects]

    @property
    def boxes(self) -> NDArray[np.float32]:
        """The boxes as float32 [N, 4], xyxy, in pixels counted from 0 at the border of the photo."""
        corners = [(entry.xmin - 1, entry.ymin - 1, entry.xmax, entry.ymax) for entry in self.objects]
        return np.array(corners, dtype=np.float32).reshape(-1, 4)


def write_annotation(path: Path, photo: VocPhoto) -> None:
    """Write the annotation of a photo; the same photo always gives the same bytes."""
    lines = [
        "<annotation>",
        "\t<folder>VOC</folder>",
        f"\t<filename>{escape(photo.filename, quote=False)}</filename>",
        "\t<source>",
        "\t\t<database>Dobble</database>",
        "\t\t<annotation>Dobble</annotation>",
        "\t\t<image>Dobble</image>",
        "\t</source>",
        "\t<size>",
        f"\t\t<width>{photo.width}</width>",
        f"\t\t<height>{photo.height}</height>",
        "\t\t<depth>3</depth>",
        "\t</size>",
        "\t<segmented>0</segmented>",
        *(line for entry in photo.objects for line in _object_lines(entry)),
        "</annotation>",
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8", newline="\n")


def read_annotation(path: Path) -> VocPhoto:
    """Read the annotation of a photo.

    Raises:
        MissingInputError: if there is no such file.
        AnnotationError: if it is no annotation, lacks something, or has a box that is not inside the photo.
    """
    if not path.is_file():
        raise MissingInputError(path, "convert the data first")
    try:
        root: Element = ElementTree.fromstring(path.read_bytes())
    except (ParseError, DefusedXmlException, UnicodeDecodeError, ValueError) as error:
        raise AnnotationError(path, f"is cut short or no XML ({error})") from error
    if root.tag != "annotation":
        raise AnnotationError(path, f"is <{root.tag}>, not <annotation>")
    width, height = _number(path, root, "size/width"), _number(path, root, "size/height")
    objects = tuple(_object(path, entry, width, height) for entry in root.iterfind("object"))
    return VocPhoto(_text(path, root, "filename"), width, height, objects)


def read_labels(path: Path) -> list[str]:
    """Read the names of the classes; the class id of each is its place in the list.

    Raises:
        MissingInputError: if there is no such file.
        AnnotationError: if it names no class, or one twice.
    """
    return _read_lines(path, "class")


def read_image_set(path: Path) -> list[str]:
    """Read the photo ids of a split.

    Raises:
        MissingInputError: if there is no such file.
        AnnotationError: if it names no photo, or one twice.
    """
    return _read_lines(path, "photo")


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a list of classes or an image set, one name a line."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _object_lines(entry: VocObject) -> list[str]:
    return [
        "\t<object>",
        f"\t\t<name>{escape(entry.name, quote=False)}</name>",
        "\t\t<pose>Unspecified</pose>",
        f"\t\t<truncated>{entry.truncated:d}</truncated>",
        f"\t\t<difficult>{entry.difficult:d}</difficult>",
        "\t\t<bndbox>",
        f"\t\t\t<xmin>{entry.xmin}</xmin>",
        f"\t\t\t<ymin>{entry.ymin}</ymin>",
        f"\t\t\t<xmax>{entry.xmax}</xmax>",
        f"\t\t\t<ymax>{entry.ymax}</ymax>",
        "\t\t</bndbox>",
        "\t</object>",
    ]


def _object(path: Path, entry: Element, width: int, height: int) -> VocObject:
    name = _text(path, entry, "name")
    xmin, ymin, xmax, ymax = (
        _number(path, entry, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")
    )
    if not (1 <= xmin <= xmax <= width and 1 <= ymin <= ymax <= height):
        box = f"{xmin} {ymin} {xmax} {ymax}"
        raise AnnotationError(path, f"{name!r} has the box {box}, not inside {width} x {height} pixels")
    truncated, difficult = _flag(entry, "truncated"), _flag(entry, "difficult")
    return VocObject(name, xmin, ymin, xmax, ymax, truncated, difficult)


def _flag(entry: Element, tag: str) -> bool:
    return entry.findtext(tag, "0").strip() == "1"


def _number(path: Path, parent: Element, tag: str) -> int:
    text = _text(path, parent, tag)
    if not (text.isascii() and text.isdigit()):
        raise AnnotationError(path, f"<{tag}> is {text!r:.60}, not a whole number of pixels")
    return int(text)


def _text(path: Path, parent: Element, tag: str) -> str:
    text = (parent.findtext(tag) or "").strip()
    if not text:
        raise AnnotationError(path, f"<{parent.tag}> has no <{tag}>")
    return text


def _read_lines(path: Path, what: str) -> list[str]:
    if not path.is_file():
        raise MissingInputError(path, "run the stage that writes it first")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").split("\n")]
    except UnicodeDecodeError as error:
        raise AnnotationError(path, "is not UTF-8") from error
    names = [line for line in lines if line]
    if not names:
        raise AnnotationError(path, f"names no {what}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise AnnotationError(path, f"names the {what} {twice!r} twice")
    return names
