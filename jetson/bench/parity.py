"""Turns a runner and a bundle's samples into how far it agrees with the reference that the bundle carries."""

import json
import os
from itertools import zip_longest
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from jetson.arrays import Array
from jetson.errors import BundleError
from jetson.play.bundle import Bundle
from jetson.play.detect import CardReading, Detections, Detector, decode, evidence, prepare
from jetson.play.game import play
from jetson.play.table import play_table

SCORE = 0.5  # of a reference detection that has to be found
IOU = 0.9
SCORE_DIFFERENCE = 0.05  # half precision needs this much


class Samples(NamedTuple):
    """A bundle's photos with what the reference says about them.

    Attributes:
        photos: uint8 [H, W, 3] BGR by file name: single cards.
        tables: the same for pictures with two cards or more.
        reference: `reference.json` as it was read.
    """

    photos: Dict[str, Array]
    tables: Dict[str, Array]
    reference: Dict[str, Any]


class Agreement(NamedTuple):
    """How a runner did against the reference.

    Attributes:
        problems: what differs, each a sentence; empty when the runner may serve.
        detections: reference detections that had to be found.
        matches: pairs and tables that had to be named alike.
        lowest_iou: of the detections found, None without any.
        largest_difference: of their scores.
    """

    problems: List[str]
    detections: int
    matches: int
    lowest_iou: Optional[float]
    largest_difference: Optional[float]


def load_samples(bundle: Bundle) -> Samples:
    """Read a bundle's samples.

    Raises:
        BundleError: the bundle has none, or they cannot be read.
    """
    folder = os.path.join(bundle.folder, "samples")
    where = os.path.join(folder, "reference.json")
    try:
        with open(where, encoding="utf-8") as stream:
            reference = json.load(stream)
        names = [[entry["file"] for entry in reference[kind]] for kind in ("photos", "tables")]
        pairs = [(entry["first"], entry["second"]) for entry in reference["matches"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = "cannot be read ({}): a benchmark needs a bundle with samples"
        raise BundleError(where, problem.format(error)) from None
    photos, tables = ({name: _picture(folder, name) for name in kind} for kind in names)
    if len(photos) < 2 or any(name not in photos for pair in pairs for name in pair):
        raise BundleError(where, "needs two photos or more and those of its matches: export the bundle again")
    return Samples(photos, tables, reference)


def check_agreement(detector: Detector, samples: Samples) -> Agreement:
    """Run the samples through a detector and compare everything that counts."""
    labels = detector.bundle.labels
    problems = _renamed(labels, samples.reference.get("labels", labels))
    found: List[Tuple[float, float]] = []
    expected = 0
    readings: Dict[str, CardReading] = {}
    weakest: Dict[str, Detections] = {}
    for name, photo in samples.photos.items():
        readings[name], weakest[name] = _read(detector, photo)
    for entry in samples.reference["photos"]:
        wanted = [detection for detection in entry["detections"] if detection["score"] >= SCORE]
        expected += len(wanted)
        for detection in wanted:
            what = "{}: {}".format(entry["file"], detection["label"])
            iou, score = _closest(detection, weakest[entry["file"]], labels)
            if score is None:
                problems.append("{} not found".format(what))
                continue
            found.append((iou, abs(score - detection["score"])))
            if iou < IOU:
                problems.append("{} lies elsewhere (IoU {:.2f})".format(what, iou))
            if found[-1][1] > SCORE_DIFFERENCE:
                problems.append("{} has score {:.2f}, not {:.2f}".format(what, score, detection["score"]))
    for entry in samples.reference["matches"]:
        match = play(detector.bundle, readings[entry["first"]], readings[entry["second"]])
        said = None if match.no_answer else labels[match.symbol]
        _compare(problems, "{first} and {second}".format(**entry), said, entry["symbol"])
    for entry in samples.reference["tables"]:
        rounds = play_table(detector, samples.tables[entry["file"]]).rounds
        answered = bool(rounds) and rounds[0].match.no_answer is None
        _compare(
            problems, entry["file"], labels[rounds[0].match.symbol] if answered else None, entry["symbol"]
        )
    return Agreement(
        problems,
        expected,
        len(samples.reference["matches"]) + len(samples.reference["tables"]),
        min(iou for iou, _ in found) if found else None,
        max(difference for _, difference in found) if found else None,
    )


def _read(detector: Detector, photo: Array) -> Tuple[CardReading, Detections]:
    """Read a photo as it is served, and down to the scores at which a reference detection may come out."""
    bundle = detector.bundle
    batch, transform = prepare(photo, bundle)
    scores, boxes = detector.runner.infer(batch)
    shown, nms_iou = bundle.thresholds.score, bundle.thresholds.nms_iou
    reading = CardReading(
        decode(scores, boxes, transform, shown, nms_iou), evidence(scores, boxes, transform)
    )
    lowest = min(shown, SCORE - SCORE_DIFFERENCE)
    return reading, decode(scores, boxes, transform, lowest, nms_iou)


def _renamed(labels: Sequence[str], reference: Sequence[str]) -> List[str]:
    """Compare the names of all symbols: those that no sample shows may be exchanged as well."""
    told = "symbol {} is {} in the manifest and {} in the reference: export the bundle again"
    pairs = enumerate(zip_longest(labels, reference, fillvalue="nothing"), 1)
    return [told.format(number, *names) for number, names in pairs if names[0] != names[1]][:1]


def _picture(folder: str, name: str) -> Array:
    path = os.path.join(folder, *name.split("/"))
    picture = cv2.imread(path)
    if picture is None:
        raise BundleError(path, "is no picture that OpenCV reads: copy the bundle again")
    return picture


def _closest(
    wanted: Dict[str, Any], seen: Detections, labels: Tuple[str, ...]
) -> Tuple[float, Optional[float]]:
    """Return IoU and score of the detection of the same symbol that fits best, or 0 and None."""
    same = [place for place, label in enumerate(seen.labels.tolist()) if labels[label] == wanted["label"]]
    best: Tuple[float, Optional[float]] = (0.0, None)
    for place in same:
        iou = _iou(np.asarray(wanted["box"], np.float64), seen.boxes[place].astype(np.float64))
        if best[1] is None or iou > best[0]:
            best = (iou, float(seen.scores[place]))
    return best


def _iou(first: Array, second: Array) -> float:
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    areas = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]))
    return shared / (areas - shared) if areas > shared else 0.0


def _compare(problems: List[str], what: str, said: Optional[str], wanted: Optional[str]) -> None:
    if said != wanted:
        problems.append("{}: answers {}, not {}".format(what, said or "nothing", wanted or "nothing"))
