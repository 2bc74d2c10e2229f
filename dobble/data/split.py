"""Pascal VOC to train, val and test sets that never tear a deck or a card apart."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from dobble.data.assignment import SPLITS, assign_groups
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
    groups = {photo: find_group(photo, params) for photo in names}
    classes = {photo: frozenset(found) for photo, found in names.items()}
    of_group = assign_groups(groups, classes, params.ratios.model_dump(), params.seed)
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


def find_group(photo: str, params: SplitParams) -> str:
    """Find the deck or card of a photo in its id.

    Raises:
        SplitError: if `group_pattern` does not say it.
    """
    match = re.search(params.group_pattern, photo)
    group = match[params.group_by] if match else None
    if not group:
        raise SplitError(
            f"photo {photo}: split.group_pattern {params.group_pattern!r} finds no {params.group_by} in its"
            " name: mend the pattern or rename the photo"
        )
    return group
