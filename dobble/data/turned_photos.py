"""Photos that EXIF turns to the orientation by which their boxes have to be turned, if anything tells it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dobble.data.annotations import LabelledPhoto
from dobble.data.bad_rows import BadRows
from dobble.data.ink import ink, read_small
from dobble.data.orientation import UPRIGHT, before_turn, turn_boxes
from dobble.data.photos import PhotoSize
from dobble.errors import PhotoError

# On rendered cards the right one of two frames leads by 0.65, with a deviation of 0.33 from box to box.
_LEAD, _LEAD_OF_ONE_BOX = 0.2, 0.6


class Undecided(NamedTuple):
    """A photo whose boxes fit two frames: `frames` are the orientations by which to turn them."""

    photo: LabelledPhoto
    image: Path
    size: PhotoSize
    frames: tuple[int, ...]


def find_frames(photo: LabelledPhoto, size: PhotoSize) -> tuple[int, ...]:
    """Find the orientations by which a photo's boxes may have to be turned to lie on the upright photo.

    Labelbox draws in stored pixels, whatever EXIF says; yet boxes may also come from an upright copy of the
    photo, or the file at hand may be one. Sizes decide where they differ, then what Labelbox has noted.

    Returns:
        One orientation; two where nothing tells, that of stored pixels first.

    Raises:
        PhotoError: if the file is not the photo that was labelled.
    """
    noted, here = photo.exif_rotation or UPRIGHT, size.orientation
    if here != UPRIGHT and noted not in (UPRIGHT, here):
        problem = f"was labelled with the EXIF orientation {noted}, and has {here}"
        raise PhotoError(photo.external_id, f"{problem}: put the photo that was labelled there")
    frames = dict.fromkeys((here, UPRIGHT) if here != UPRIGHT else (UPRIGHT, noted))
    fitting = tuple(turn for turn in frames if _fits(photo, before_turn(turn, size.upright)))
    if not fitting:
        shown = f"was labelled as {photo.width} x {photo.height} pixels"
        problem = f"{shown}, and has {size.upright[0]} x {size.upright[1]}"
        raise PhotoError(photo.external_id, f"{problem}: put the photo that was labelled there")
    if not photo.boxes:
        return fitting[:1]
    return (here,) if len(fitting) > 1 and noted == here else fitting


def choose_frames(undecided: Sequence[Undecided], bad: BadRows) -> dict[str, int]:
    """Choose between two frames by the ink: symbols are where boxes are, and around them is white.

    All photos are asked together, for they were labelled with one tool; one that clearly says otherwise, or
    all if they say nothing clearly, go to `bad`.

    Returns:
        The orientation of each photo, by its external id, but for those.
    """
    leads = {one.photo.external_id: _leads(one) for one in undecided}
    chosen = {}
    for turns in (True, False):  # whether the file at hand has the orientation, or the one that was labelled
        group = [one for one in undecided if (one.size.orientation != UPRIGHT) == turns]
        said = _verdict([lead for one in group for lead in leads[one.photo.external_id]])
        for one in group:
            own = _verdict(leads[one.photo.external_id])
            if said is None or own not in (None, said):
                bad.add(_ambiguous(one), one.photo.row, one.photo.external_id)
            else:
                chosen[one.photo.external_id] = one.frames[said]
    return chosen


def _fits(photo: LabelledPhoto, frame: tuple[int, int]) -> bool:
    return photo.width in (None, frame[0]) and photo.height in (None, frame[1])


def _leads(one: Undecided) -> list[float]:
    """By how much each box has more ink in the first frame than in the second."""
    image = read_small(one.image)
    upright = one.size.upright
    first, second = (
        ink(image, turn_boxes(one.photo.boxes, turn, before_turn(turn, upright)), upright[0])
        for turn in one.frames
    )
    return [float(lead) for lead in first - second]


def _verdict(leads: list[float]) -> int | None:
    """Say which frame leads clearly, 0 or 1, if any does; few boxes must lead by more."""
    if not leads:
        return None
    mean = sum(leads) / len(leads)
    if abs(mean) < max(_LEAD, _LEAD_OF_ONE_BOX / math.sqrt(len(leads))):
        return None
    return 0 if mean > 0 else 1


def _ambiguous(one: Undecided) -> PhotoError:
    problem = "EXIF turns it, and nothing tells whether its boxes are meant"
    cure = "label an upright copy without EXIF orientation, or give media_attributes.exif_rotation"
    return PhotoError(one.photo.external_id, f"{problem} before or after that: {cure}")
