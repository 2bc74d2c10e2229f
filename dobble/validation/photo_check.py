"""Photos and their boxes to what looks wrong with them: odd boxes and bad pictures."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dobble.data.annotations import LabelledBox
from dobble.data.voc import VocPhoto
from dobble.errors import MissingInputError, PhotoError
from dobble.params import ValidateParams
from dobble.validation.duplicates import perceptual_hash
from dobble.validation.findings import Finding

SIDE = 480  # sharpness is measured at this longer side, so that all cameras count alike
THUMBNAIL = 96
_DECODERS = (
    (2, cv2.IMREAD_REDUCED_COLOR_2),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (8, cv2.IMREAD_REDUCED_COLOR_8),
)
_ODD_SHARE = 0.1  # sizes that more photos have are another camera, not a mistake


class Picture(NamedTuple):
    """What the checks keep of a photo.

    Attributes:
        size: width and height in pixels, upright.
        brightness: mean grey value, 0 to 255.
        sharpness: variance of the Laplacian at a longer side of 480 pixels.
        hash: bool [256], signs of low frequencies; near-duplicates differ in few.
        thumbnail: uint8 [h, w, 3] RGB, longer side 96 pixels.
    """

    size: tuple[int, int]
    brightness: float
    sharpness: float
    hash: NDArray[np.bool_]
    thumbnail: NDArray[np.uint8]


def read_picture(path: Path, size: tuple[int, int]) -> Picture:
    """Measure a photo; large ones are decoded no finer than needed.

    Args:
        path: the photo.
        size: its width and height in pixels, upright.

    Raises:
        MissingInputError: if there is no such file.
        PhotoError: if it cannot be decoded.
    """
    fits = [flag for shrunk, flag in _DECODERS if max(size) >= shrunk * SIDE]
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except FileNotFoundError as error:
        raise MissingInputError(path, "run `dvc repro convert`") from error
    image = cv2.imdecode(content, fits[-1] if fits else cv2.IMREAD_COLOR) if content.size else None
    if image is None:
        raise PhotoError(path, "is no picture that OpenCV can decode")
    image = _fitted(np.asarray(image, np.uint8), SIDE)
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    return Picture(
        size,
        float(grey.mean()),
        float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        perceptual_hash(grey),
        np.ascontiguousarray(_fitted(image, THUMBNAIL)[..., ::-1]),
    )


def check_boxes(photo: VocPhoto, drawn: Sequence[LabelledBox], limits: ValidateParams) -> list[Finding]:
    """Find boxes that nobody would draw on purpose.

    Args:
        photo: the boxes inside the photo.
        drawn: the boxes as they were drawn, before they were cut off at the border.
        limits: what is too small, large, flat, alike, or far outside.
    """
    longer = max(photo.width, photo.height)
    least, most = limits.box_side
    found: list[Finding] = []
    for entry, (width, height) in zip(photo.objects, photo.boxes[:, 2:] - photo.boxes[:, :2], strict=True):
        side, aspect = max(width, height) / longer, max(width, height) / min(width, height)
        size = f"{width:.0f} x {height:.0f} pixels"
        problems = (
            (side < least, "tiny", f"its longer side is {side:.1%} of the photo"),
            (side > most, "huge", f"its longer side is {side:.0%} of the photo"),
            (aspect > limits.max_box_aspect, "flat", f"one side is {aspect:.1f} times the other"),
        )
        found += [
            _box(photo, kind, f"the box of *{entry.name}* is {kind} ({size}: {why})", entry.name)
            for wrong, kind, why in problems
            if wrong
        ]
    for box in drawn:
        outside = _share_outside(box, photo.width, photo.height)
        if outside > limits.max_outside:
            text = f"{outside:.0%} of the box of *{box.name}* is outside the photo"
            found.append(_box(photo, "outside", text, box.name))
    return found + [
        Finding(
            photo.photo_id,
            "error",
            "box doubled",
            f"*{one}* is boxed twice at one place"
            if one == other
            else f"*{one}* and *{other}* are boxed at one place",
            "delete one of the two boxes",
            (one, other),
        )
        for one, other in _same_places(photo, limits.max_box_overlap)
    ]


def without_doubles(photo: VocPhoto, max_overlap: float) -> list[str]:
    """Give the class of each box, one for boxes of a class that lie at one place."""
    names = list(photo.names)
    for one, other in _same_places(photo, max_overlap):
        if one == other and names.count(one) > 1:
            names.remove(one)
    return names


def check_pictures(pictures: Mapping[str, Picture], limits: ValidateParams) -> list[Finding]:
    """Find photos that are too dark, too bright, blurred, or of another shape or size than the rest."""
    dark, bright = limits.brightness
    found = []
    for photo, picture in pictures.items():
        shown = f"mean brightness {picture.brightness:.0f} of 255"
        if picture.brightness < dark:
            found.append(_picture(photo, "dark", f"is dark ({shown})"))
        if picture.brightness > bright:
            found.append(_picture(photo, "bright", f"is overexposed ({shown})"))
        if picture.sharpness < limits.min_sharpness:
            text = f"is blurred (sharpness {picture.sharpness:.1f}, at least {limits.min_sharpness:g} wanted)"
            found.append(_picture(photo, "blurred", text))
    return found + _odd_sizes(pictures)


def _fitted(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Shrink a picture to a longer side; smaller ones stay as they are."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _same_places(photo: VocPhoto, max_overlap: float) -> list[tuple[str, str]]:
    """The classes of boxes that lie at one place, pair by pair."""
    if len(photo.objects) < 2:
        return []
    boxes = photo.boxes
    corner = np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    sides = np.clip(corner - np.maximum(boxes[:, None, :2], boxes[:, :2]), 0, None)
    shared = sides.prod(2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    overlap = shared / (areas[:, None] + areas - shared)
    return [
        (photo.names[one], photo.names[other])
        for one, other in np.argwhere(np.triu(overlap > max_overlap, 1)).tolist()
    ]


def _share_outside(box: LabelledBox, width: int, height: int) -> float:
    inside_x = min(box.left + box.width, width) - max(box.left, 0)
    inside_y = min(box.top + box.height, height) - max(box.top, 0)
    return 1 - max(inside_x, 0) * max(inside_y, 0) / (box.width * box.height)


def _odd_sizes(pictures: Mapping[str, Picture]) -> list[Finding]:
    """Photos whose shape or size differs from most, unless so many do that it is another camera."""
    if not pictures:
        return []
    sizes = np.array([picture.size for picture in pictures.values()], np.float64)
    longer, shape = sizes.max(1), sizes.max(1) / sizes.min(1)
    usual_longer, usual_shape = np.median(longer), np.median(shape)
    odd = (np.abs(np.log(longer / usual_longer)) > math.log(2)) | (
        np.abs(np.log(shape / usual_shape)) > math.log(1.1)
    )
    if odd.mean() > _ODD_SHARE:
        return []
    usual = f"most have a longer side of about {usual_longer:.0f} and a shape of {usual_shape:.2f} : 1"
    return [
        _picture(photo, "size", f"has {picture.size[0]} x {picture.size[1]} pixels; {usual}")
        for photo, picture, strange in zip(pictures, pictures.values(), odd, strict=True)
        if strange
    ]


def _box(photo: VocPhoto, kind: str, text: str, name: str) -> Finding:
    cure = "draw the box closely around the symbol, or delete it"
    return Finding(photo.photo_id, "warning", f"box {kind}", text, cure, (name,))


def _picture(photo: str, kind: str, text: str) -> Finding:
    cure = "take the photo again, or keep it if the device will see such pictures too"
    return Finding(photo, "warning", f"picture {kind}", text, cure)
