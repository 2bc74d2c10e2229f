"""Pascal VOC and its splits to what is probably wrong with them; training goes on only if little is."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dobble.data.annotations import LabelledBox, parse_row
from dobble.data.assignment import SPLITS
from dobble.data.export_rows import read_rows
from dobble.data.orientation import UPRIGHT, before_turn, read_turned, turn_boxes
from dobble.data.photo_names import look_alike, photo_id
from dobble.data.voc import VocPhoto, read_annotation, read_image_set, read_labels
from dobble.errors import ValidationError
from dobble.files import replaced_folder
from dobble.params import SplitParams, ValidateParams
from dobble.validation.contact_sheet import group_findings, write_sheets
from dobble.validation.deck_check import Suspicion, find_mistakes
from dobble.validation.deepchecks_suite import Outcome, Sample, data_suite
from dobble.validation.duplicates import near_duplicates
from dobble.validation.findings import MOST, Finding, capped, labelbox_link, write_findings
from dobble.validation.photo_check import (
    Picture,
    check_boxes,
    check_pictures,
    read_picture,
    without_doubles,
)

FINDINGS, METRICS, DEEPCHECKS, SHEETS = "findings.csv", "metrics.json", "deepchecks.html", "sheets"
VERDICT = "verdict.txt"
_SWITCHED_OFF = "<!doctype html><title>Deepchecks</title><p>Switched off by validate.deepchecks.\n"


@dataclass(frozen=True)
class ValidateSummary:
    """How many photos were looked at, and how many findings there are of each severity and check."""

    photos: int
    flagged: int
    severities: dict[str, int]
    checks: dict[str, int]


def validate(
    voc: Path, splits: Path, raw: Path, out: Path, params: ValidateParams, split_params: SplitParams
) -> ValidateSummary:
    """Write findings, metrics, the report of Deepchecks and contact sheets into `out`.

    Args:
        voc: photos and annotations.
        splits: which photo is in which split.
        raw: the export the photos come from: boxes as they were drawn, and the rows to link to.
        out: folder that gets `findings.csv`, `metrics.json`, `deepchecks.html`, `sheets` and `verdict.txt`,
            which says `passed` or `failed` and nothing else.
        params: limits, and which severities fail.
        split_params: their `group_pattern` may say which card a photo shows.

    Raises:
        ValidationError: if there are findings of a severity in `params.fail_on`; `out` is written too.
        MissingInputError: if an earlier stage has not run.
        AnnotationError: if an annotation or a split cannot be used.
        ExportError: if the export cannot be read.
        PhotoError: if a photo cannot be decoded.
        OutputError: if `out` cannot be written.
    """
    names = read_labels(voc / "labels.txt")
    split_of = {photo: name for name in SPLITS for photo in read_image_set(splits / f"{name}.txt")}
    photos = {photo: read_annotation(voc / "Annotations" / f"{photo}.xml") for photo in sorted(split_of)}
    drawn, links = _read_export(raw / "export.ndjson", photos, read_turned(voc))
    pictures = _read_pictures(voc / "JPEGImages", photos)
    hashes = {photo: picture.hash for photo, picture in pictures.items()}
    findings = [
        *_deck_findings(photos, params, split_params),
        *near_duplicates(hashes, split_of, params.max_hash_distance),
        *(
            found
            for photo in photos.values()
            for found in check_boxes(photo, drawn.get(photo.photo_id, ()), params)
        ),
        *check_pictures(pictures, params),
    ]
    outcome = None
    if params.deepchecks:
        outcome = data_suite(_samples(photos, pictures, split_of, names), names, params)
        findings += outcome.findings
    findings.sort(key=lambda found: found.severity)
    summary = ValidateSummary(
        photos=len(photos),
        flagged=len({found.photo for found in findings if found.photo}),
        severities={kind: sum(found.severity == kind for found in findings) for kind in ("error", "warning")},
        checks=dict(sorted(Counter(found.check for found in findings).items())),
    )
    failing = [found for found in findings if found.severity in params.fail_on]
    shown = capped(findings)
    with replaced_folder(out) as side:
        write_findings(side / FINDINGS, shown, links)
        (side / SHEETS).mkdir()
        write_sheets(side / SHEETS, group_findings(shown, photos, voc / "JPEGImages"))
        if outcome is not None:
            outcome.write_html(side / DEEPCHECKS)
        else:
            (side / DEEPCHECKS).write_text(_SWITCHED_OFF, encoding="utf-8")
        text = json.dumps(_metrics(summary, outcome, passed=not failing), indent=2, ensure_ascii=False)
        (side / METRICS).write_text(text + "\n", encoding="utf-8")
        (side / VERDICT).write_text("failed\n" if failing else "passed\n", encoding="utf-8")
    if failing:
        raise ValidationError(_failure(failing, out, whole=shown == findings))
    return summary


def card_name(photo: str, split_params: SplitParams) -> str | None:
    """Find which card a photo shows by its name, if `group_pattern` has a group for that."""
    match = re.search(split_params.group_pattern, photo)
    card = match.groupdict().get("card") if match else None
    return None if card is None else look_alike(card)


def _read_export(
    export: Path, photos: Mapping[str, VocPhoto], turned: Mapping[str, int]
) -> tuple[dict[str, tuple[LabelledBox, ...]], dict[str, str]]:
    """Boxes as they were drawn, on the upright photo, and Labelbox's addresses, by photo id."""
    drawn, links = {}, {}
    for number, row in read_rows(export):
        photo = parse_row(export, number, row, "first")
        name = photo_id(photo.external_id)
        if name in photos:
            orientation = turned.get(name, UPRIGHT)
            size = before_turn(orientation, (photos[name].width, photos[name].height))
            drawn[name] = turn_boxes(photo.boxes, orientation, size)
            links[name] = labelbox_link(row)
    return drawn, links


def _read_pictures(folder: Path, photos: Mapping[str, VocPhoto]) -> dict[str, Picture]:
    def read(photo: VocPhoto) -> Picture:
        return read_picture(folder / photo.filename, (photo.width, photo.height))

    with ThreadPoolExecutor() as threads:
        done = tqdm(
            threads.map(read, photos.values()),
            total=len(photos),
            desc="validate",
            unit="photo",
            disable=None,
        )
        return dict(zip(photos, done, strict=True))


def _deck_findings(
    photos: Mapping[str, VocPhoto], params: ValidateParams, split_params: SplitParams
) -> list[Finding]:
    if params.deck == "none":
        return []
    shown = {name: photo for name, photo in photos.items() if photo.objects}
    labels = {name: without_doubles(photo, params.max_box_overlap) for name, photo in shown.items()}
    cards = {name: card for name in photos if (card := card_name(name, split_params)) is not None}
    per_card = None if params.symbols_per_card == "auto" else params.symbols_per_card
    known = {name: card for name, card in cards.items() if name in shown}
    mistakes = [_deck_finding(mistake) for mistake in find_mistakes(labels, known, per_card)]
    model = {card: name for name, card in reversed(known.items())}
    return mistakes + [
        Finding(
            name,
            "error",
            "deck empty",
            f"is labelled as showing nothing, and named as the card of {model[card]}",
            "draw its boxes, or rename the photo if it shows no card",
            other=model[card],
        )
        for name, card in cards.items()
        if name not in shown and card in model
    ]


def _deck_finding(mistake: Suspicion) -> Finding:
    return Finding(
        mistake.photo,
        "error",
        f"deck {mistake.kind}",
        mistake.finding,
        mistake.suggestion,
        () if mistake.kind == "count" else mistake.symbols,
        mistake.other,
    )


def _samples(
    photos: Mapping[str, VocPhoto],
    pictures: Mapping[str, Picture],
    split_of: Mapping[str, str],
    names: Sequence[str],
) -> dict[str, list[Sample]]:
    numbers = {name: index for index, name in enumerate(names)}
    samples: dict[str, list[Sample]] = {name: [] for name in SPLITS}
    for photo, annotation in photos.items():
        image = pictures[photo].thumbnail
        scale = max(image.shape[:2]) / max(annotation.width, annotation.height)
        boxes = (annotation.boxes * scale).astype(np.float32)
        labels = np.array([numbers[name] for name in annotation.names], np.int64)
        samples[split_of[photo]].append(Sample(photo, image, boxes, labels))
    return samples


def _metrics(summary: ValidateSummary, outcome: Outcome | None, *, passed: bool) -> dict[str, Any]:
    return {
        "passed": passed,
        "photos": summary.photos,
        "flagged": summary.flagged,
        "findings": summary.severities,
        "checks": summary.checks,
        **({"deepchecks": outcome.metrics} if outcome is not None else {}),
    }


def _failure(failing: Sequence[Finding], out: Path, *, whole: bool) -> str:
    number = "1 finding" if len(failing) == 1 else f"{len(failing)} findings"
    listed = "all of them" if whole else f"the first {MOST} of each check"
    return (
        f"{number} in the labelled photos, the surest: {failing[0]}; {listed} are in {out / FINDINGS},"
        f" pictures in {out / SHEETS}: mend the labels, or change validate.fail_on in params.yaml"
    )
