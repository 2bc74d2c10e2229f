"""A bundle's detections on photos it learned from and on others to what Deepchecks says of the model."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dobble.detector.dataset import LabelledPhoto, read_photo
from dobble.detector.predict import LOWEST_SCORE
from dobble.evaluation.report import Section
from dobble.evaluation.showcase import Judged
from dobble.params import EvaluateParams
from dobble.validation.deepchecks_suite import Outcome, Sample, model_suite
from jetson.play.bundle import Bundle
from jetson.play.cards import frame_card
from jetson.play.detect import Detections, decode, prepare
from jetson.runners import open_runner

PAGE, NUMBERS = "deepchecks.html", "deepchecks.json"
_SIDE = 160  # of the pictures that Deepchecks holds: it compares boxes, and shows none
_DETECTIONS = 100  # the best of each photo, as COCO counts them


def check_model(
    folder: Path,
    judged: Sequence[Judged],
    learned: Sequence[LabelledPhoto],
    bundle: Bundle,
    params: EvaluateParams,
) -> Section:
    """Write Deepchecks' page and numbers into a folder, and say for the report what they say.

    Args:
        folder: gets `deepchecks.html` and `deepchecks.json`.
        judged: the test photos.
        learned: the training photos, of which as many are drawn by lot as there are test photos.
        bundle: that detected what `judged` says.
        params: the precision below which Deepchecks' condition fails, and the seed.
    """
    lots = np.random.default_rng(params.seed).permutation(len(learned))[: len(judged)]
    splits = {
        "train": list(_looked_at([learned[place] for place in sorted(lots.tolist())], bundle)),
        "test": [_sample(one.photo, read_photo(one.photo.path), one.detections) for one in judged],
    }
    outcome = model_suite(splits, bundle.labels, params.min_precision)
    outcome.write_html(folder / PAGE)
    problems = [str(finding) for finding in outcome.findings]
    numbers = {**outcome.metrics, "findings": problems}
    text = json.dumps(numbers, indent=2, ensure_ascii=False)
    (folder / NUMBERS).write_text(text + "\n", encoding="utf-8")
    return Section("Checks of the model", _said(outcome, problems), [], PAGE)


def _looked_at(photos: Sequence[LabelledPhoto], bundle: Bundle) -> Iterator[Sample]:
    with open_runner("onnxruntime-cpu", bundle) as runner:
        for photo in photos:
            image = read_photo(photo.path)
            crop = frame_card(image)
            batch, transform = prepare(crop.image, bundle)
            scores, boxes = runner.infer(batch)
            seen = decode(scores, boxes, transform, LOWEST_SCORE, bundle.thresholds.nms_iou)
            yield _sample(photo, image, seen._replace(boxes=crop.to_picture(seen.boxes)))


def _sample(photo: LabelledPhoto, image: NDArray[np.uint8], seen: Detections) -> Sample:
    scale = min(1.0, _SIDE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[..., ::-1]
    best = slice(_DETECTIONS)
    detected = np.column_stack([seen.boxes[best] * scale, seen.scores[best], seen.labels[best]])
    boxes = (photo.boxes * scale).astype(np.float32)
    return Sample(photo.name, np.asarray(small, np.uint8), boxes, photo.labels, detected.astype(np.float32))


def _said(outcome: Outcome, problems: Sequence[str]) -> str:
    sizes = ", ".join(f"{size} {value:.3f}" for size, value in outcome.metrics["mAP"].items())
    verdict = f"It objects: {'; '.join(problems)}." if problems else "It objects to nothing."
    return (
        "Deepchecks on the test photos and on as many of the training photos."
        f" mAP of symbols by size, in thirds: {sizes}. {verdict}"
    )
