"""A checkpoint to the bundle: the only thing that travels to a device."""

import hashlib
import json
import subprocess
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from dobble.data.made_up_decks import made_up_photos
from dobble.data.voc import read_labels
from dobble.detector.anchors import INPUT_SIZE
from dobble.detector.checkpoint import load_checkpoint, restore
from dobble.detector.dataset import LabelledPhoto, load_split, read_photo
from dobble.detector.game_accuracy import shared_pairs
from dobble.detector.known_deck import KnownDeck, choose_deck
from dobble.detector.network import Deployed
from dobble.detector.predict import TONE
from dobble.errors import CheckpointError
from dobble.files import replaced_folder
from dobble.params import ExportParams
from jetson.play.bundle import PREPARATION, SCHEMA_VERSION, Bundle, load_bundle
from jetson.play.cards import crop_card, find_cards, frame_card
from jetson.play.detect import Detector
from jetson.play.game import calibrate, card_evidence, incidence, pair_evidence, play
from jetson.play.table import play_table
from jetson.runners import open_runner

OPSET = 13
"""The newest that TensorRT 8.2 reads, the last release for a Jetson Nano (onnx-tensorrt, operators.md)."""

TABLE_SIZE = (1280, 720)
_TABLE_COLOUR = (52, 74, 96)
_FIRST_CALIBRATION = {"joint": 1.0, "deck": 1.0}


@dataclass(frozen=True)
class ExportSummary:
    """What went into the bundle."""

    bytes: int
    anchors: int
    deck: KnownDeck | None
    calibration: dict[str, float]


def export(checkpoint: Path, voc: Path, splits: Path, out: Path, params: ExportParams) -> ExportSummary:
    """Write model, labels, samples and manifest into `out`, which appears whole or not.

    The deck is that of `params.deck`, or what the labels of the train and validation photos say the printed
    cards are, with the cards that follow from them; it is left out if they break the rules of the game. What
    only the test photos tell stays unknown, for they judge the deck as well. The probabilities of matches are
    calibrated on the validation photos.

    Raises:
        CheckpointError: if the checkpoint is damaged, or was trained on other labels.
        MissingInputError, AnnotationError, PhotoError: if an earlier stage's output is missing or damaged.
        DeckError: if the file of the deck cannot be used.
        OutputError: if `out` cannot be written.
    """
    trained = load_checkpoint(checkpoint)
    labels = tuple(read_labels(voc / "labels.txt"))
    if trained.labels != labels:
        raise CheckpointError(
            checkpoint, f"was trained on other labels than {voc / 'labels.txt'}; train again"
        )
    network = Deployed(restore(trained, checkpoint)).eval()
    photos = {split: load_split(voc, splits, split) for split in ("train", "val", "test")}
    cards = [photo for photo in (*photos["train"], *photos["val"]) if len(photo.labels)]
    shown = {photo.name: [labels[label] for label in photo.labels] for photo in cards}
    known = choose_deck(params.deck, shown, made_up_photos(voc), labels)
    with replaced_folder(out) as side:
        write_onnx(network, side / "model.onnx")
        (side / "labels.txt").write_text("\n".join(["BACKGROUND", *labels]) + "\n", encoding="utf-8")
        manifest: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "name": "dobble",
            "input": {
                "name": "input_0",
                "shape": [1, 3, INPUT_SIZE, INPUT_SIZE],
                "tone": TONE,
                **PREPARATION,
            },
            "outputs": {
                "scores": {"shape": [1, len(network.detector.anchors), len(labels) + 1]},
                "boxes": {"shape": [1, len(network.detector.anchors), 4], "format": "xyxy", "range": [0, 1]},
            },
            "labels": list(labels),
            "deck": None if known is None else [list(card) for card in known.deck.cards],
            "deck_source": None if known is None else known.source,
            "thresholds": {
                "score": params.score_threshold,
                "nms_iou": params.nms_iou,
                "match_probability": params.match_probability,
            },
            "calibration": _FIRST_CALIBRATION,
            "git_revision": _git_revision(),
            "data_md5": _data_md5(),
        }
        manifest["calibration"] = _calibrate(_write_manifest(side, manifest), photos["val"])
        _write_samples(_write_manifest(side, manifest), side / "samples", photos["test"], params.samples)
        _write_manifest(side, manifest)
    return ExportSummary(
        bytes=sum(file.stat().st_size for file in out.rglob("*") if file.is_file()),
        anchors=len(network.detector.anchors),
        deck=known,
        calibration=manifest["calibration"],
    )


def write_onnx(network: Deployed, path: Path) -> None:
    """Export `scores` and `boxes` for one picture `input_0`: opset 13, static shapes, no control flow."""
    blank = torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE)
    with warnings.catch_warnings():
        # PyTorch recommends its newer exporter, whose graphs need a newer opset than the Nano reads.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network,
            (blank,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["input_0"],
            output_names=["scores", "boxes"],
        )


def compose_table(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Both cards of two photos (uint8 [H, W, 3] BGR) side by side on a plain dark table of 1280x720.

    None if one of the photos does not show exactly one card that stands out from its surroundings.
    """
    width, height = TABLE_SIZE
    table = np.full((height, width, 3), _TABLE_COLOUR, np.uint8)
    side = round(height * 0.75)
    for place, photo in enumerate((first, second)):
        cards = find_cards(photo)
        if len(cards) != 1:
            return None
        crop = cv2.resize(
            crop_card(photo, cards[0], margin=1.0).image, (side, side), interpolation=cv2.INTER_AREA
        )
        long, short = cards[0].axes
        radius = round(side / 2 * 0.97 * short / long)
        disc = np.zeros((side, side, 1), np.uint8)
        cv2.circle(disc, (side // 2, side // 2), radius, (1,), cv2.FILLED)
        left, top = width // 4 * (1 + 2 * place) - side // 2, (height - side) // 2
        window = table[top : top + side, left : left + side]
        window[:] = np.where(disc, crop, window)
    return table


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> Bundle:
    """Write the manifest with the hashes of all files that are there by now, and load the bundle."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != "manifest.json")
    manifest["files"] = {
        file.relative_to(folder).as_posix(): {
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "bytes": file.stat().st_size,
        }
        for file in files
    }
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
    return load_bundle(str(folder), verify=False)


def _calibrate(bundle: Bundle, photos: list[LabelledPhoto]) -> dict[str, float]:
    cards = [frozenset(photo.labels.tolist()) for photo in photos]
    pairs = shared_pairs(cards)
    calibration = dict(_FIRST_CALIBRATION)
    with open_runner("onnxruntime-cpu", bundle) as runner:
        detector = Detector(bundle, runner)
        crops = [frame_card(read_photo(photo.path)) for photo in photos]
        evidence = np.stack([detector.read(crop.image).evidence.probability for crop in crops])
    if len(pairs):
        log_evidence = pair_evidence(evidence[pairs[:, 0]], evidence[pairs[:, 1]])
        calibration["joint"] = round(calibrate(log_evidence, pairs[:, 2]), 4)
    if bundle.deck is not None:
        places = {frozenset(card): place for place, card in enumerate(bundle.deck)}
        known = [(row, places[card]) for row, card in enumerate(cards) if card in places]
        if known:
            rows, truth = np.array(known).T
            table = incidence(bundle.deck, len(bundle.labels))
            # The right card wins nearly always, which alone would push the exponent up without end.
            calibration["deck"] = round(
                calibrate(card_evidence(evidence[rows], table), truth, highest=1.0), 4
            )
    return calibration


def _write_samples(bundle: Bundle, folder: Path, photos: list[LabelledPhoto], count: int) -> None:
    """A few test photos and a table, with what ONNX Runtime says of them on this machine."""
    folder.mkdir()
    chosen = _different_cards(photos, count)
    reference: dict[str, Any] = {
        "labels": list(bundle.labels),
        "photos": [],
        "matches": [],
        "tables": [],
    }
    with open_runner("onnxruntime-cpu", bundle) as runner:
        detector = Detector(bundle, runner)
        images = [read_photo(photo.path) for photo in chosen]
        readings = [detector.read(image) for image in images]
        for photo, reading in zip(chosen, readings, strict=True):
            (folder / photo.path.name).write_bytes(photo.path.read_bytes())
            rows = zip(
                reading.detections.labels.tolist(),
                reading.detections.scores.tolist(),
                reading.detections.boxes.tolist(),
                strict=True,
            )
            detections = [
                {
                    "label": bundle.labels[label],
                    "score": round(score, 5),
                    "box": [round(side, 2) for side in box],
                }
                for label, score, box in rows
            ]
            reference["photos"].append({"file": photo.path.name, "detections": detections})
        for place in range(len(chosen) - 1):
            match = play(bundle, readings[place], readings[place + 1])
            reference["matches"].append(
                {
                    "first": chosen[place].path.name,
                    "second": chosen[place + 1].path.name,
                    "symbol": None if match.no_answer else bundle.labels[match.symbol],
                    "probability": round(match.probability, 5),
                }
            )
        table = next(
            (table for pair in pairwise(images) if (table := compose_table(*pair)) is not None),
            None,
        )
        if table is not None:
            encoded = cv2.imencode(".jpg", table, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
            (folder / "table.jpg").write_bytes(encoded.tobytes())
            played = play_table(detector, read_photo(folder / "table.jpg"))
            best = played.rounds[0].match if played.rounds else None
            entry = {
                "file": "table.jpg",
                "cards": [list(card.box) for card in played.cards],
                "symbol": bundle.labels[best.symbol] if best is not None and best.no_answer is None else None,
            }
            reference["tables"].append(entry)
    text = json.dumps(reference, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / "reference.json").write_text(text + "\n", encoding="utf-8")


def _different_cards(photos: list[LabelledPhoto], count: int) -> list[LabelledPhoto]:
    by_card = {frozenset(photo.labels.tolist()): photo for photo in reversed(photos) if len(photo.labels)}
    return sorted(by_card.values(), key=lambda photo: photo.name)[:count]


def _git_revision() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _data_md5() -> str | None:
    pinned = Path("data.dvc")
    if not pinned.is_file():
        return None
    md5 = yaml.safe_load(pinned.read_text(encoding="utf-8"))["outs"][0].get("md5")
    return None if md5 is None else str(md5)
