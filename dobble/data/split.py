"""Pascal VOC to train, val and test sets that never tear a deck or a card apart."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dobble.data.assignment import SPLITS, assign_groups
from dobble.data.photo_names import look_alike
from dobble.data.voc import read_annotation, write_lines
from dobble.errors import MissingInputError, SplitError
from dobble.files import replaced_folder
from dobble.params import SplitParams


@dataclass(frozen=True)
class SplitSummary:
    """Photos and groups of each split, and by how many photos each misses its share (+ is too many)."""

    photos: dict[str, int]
    groups: dict[str, int]
    deviation: dict[str, float]


def split(voc: Path, out: Path, params: SplitParams) -> SplitSummary:
    """Write `train.txt`, `val.txt`, `test.txt` and `splits.json` into `out`, which appears whole or not.

    A group on whose photos there is no symbol is for training, as is a photo without symbols whose name tells
    no group: they say nothing about how well symbols are found.

    Raises:
        MissingInputError: if `voc` has no annotations.
        AnnotationError: if one of them cannot be used.
        SplitError: if the photos cannot be split as the parameters ask.
        OutputError: if `out` cannot be written.
    """
    annotations = sorted((voc / "Annotations").glob("*.xml"))
    if not annotations:
        raise MissingInputError(voc / "Annotations", "convert the data first")
    names = {path.stem: read_annotation(path).names for path in annotations}
    groups = _groups(names, params)
    classes = {photo: frozenset(found) for photo, found in names.items()}
    showing = {groups[photo] for photo, found in names.items() if found}
    shared_out = {photo: group for photo, group in groups.items() if group in showing}
    of_group = dict.fromkeys(groups.values(), "train") | assign_groups(
        shared_out, {photo: classes[photo] for photo in shared_out}, params.ratios.model_dump(), params.seed
    )
    members = {
        name: sorted(photo for photo, group in groups.items() if of_group[group] == name) for name in SPLITS
    }
    counts = {
        name: dict(sorted(Counter(label for photo in members[name] for label in names[photo]).items()))
        for name in SPLITS
    }
    photos = {name: len(members[name]) for name in SPLITS}
    with replaced_folder(out) as side:
        for name in SPLITS:
            write_lines(side / f"{name}.txt", members[name])
        report = {"group_by": params.group_by, "groups": groups, "counts": counts, "photos": photos}
        text = json.dumps(report, indent=2, ensure_ascii=False, sort_keys=True)
        (side / "splits.json").write_text(text + "\n", encoding="utf-8")
    return SplitSummary(
        photos=photos,
        groups={name: sum(value == name for value in of_group.values()) for name in SPLITS},
        deviation={
            name: round(photos[name] - getattr(params.ratios, name) * len(names), 6) for name in SPLITS
        },
    )


def _groups(names: Mapping[str, Sequence[str]], params: SplitParams) -> dict[str, str]:
    """Give the group of each photo; groups whose names look alike are one, if they may be."""
    groups = {
        photo: find_group(photo, params) if found else _group(photo, params) or photo
        for photo, found in names.items()
    }
    alike: dict[str, list[str]] = defaultdict(list)
    for group in sorted(set(groups.values())):
        alike[look_alike(group)].append(group)
    several = [found for found in alike.values() if len(found) > 1]
    if several and params.similar_groups == "refuse":
        shown = "; ".join(" and ".join(repr(group) for group in found) for found in several)
        cure = "rename the photos, or set split.similar_groups to merge"
        raise SplitError(f"names of {params.group_by}s look alike ({shown}) and may be one: {cure}")
    return {photo: alike[look_alike(group)][0] for photo, group in groups.items()}


def find_group(photo: str, params: SplitParams) -> str:
    """Find the deck or card of a photo in its id.

    Raises:
        SplitError: if `group_pattern` does not say it.
    """
    group = _group(photo, params)
    if group is None:
        raise SplitError(
            f"photo {photo}: split.group_pattern {params.group_pattern!r} finds no {params.group_by} in its"
            " name: mend the pattern or rename the photo"
        )
    return group


def _group(photo: str, params: SplitParams) -> str | None:
    match = re.search(params.group_pattern, photo)
    return (match[params.group_by] or None) if match else None
