"""Turns a model bundle's folder into its checked contents: nothing runs from a bundle that is not whole."""

import hashlib
import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from jetson.errors import BundleError

SCHEMA_VERSION = 2  # 1 knows no `input.tone`
BACKGROUND = "BACKGROUND"
PREPARATION = {
    "colour": "RGB",
    "dtype": "float32",
    "mean": 127.5,
    "scale": 127.5,
    "resize": "letterbox",
    "padding": 127.5,
}


class Thresholds(NamedTuple):
    """Score of a detection, IoU of two boxes of one symbol, probability of a match: each in [0, 1]."""

    score: float
    nms_iou: float
    match_probability: float


class Calibration(NamedTuple):
    """Exponents that turn evidence into honest probabilities, for `game.match_joint` and `match_deck`."""

    joint: float
    deck: float


class ListedFile(NamedTuple):
    """A file that a manifest names: relative path with slashes, bytes, SHA-256 in hexadecimal digits."""

    name: str
    size: int
    sha256: str


class Bundle(NamedTuple):
    """A checked model bundle.

    Attributes:
        folder: where it lies.
        model: path of the ONNX file.
        model_sha256: its hash, in hexadecimal digits.
        labels: names of the symbols; class id = position (the background is not among them).
        deck: each card's class ids in ascending order, or None when the deck is unknown.
        input_name: name of the network's input.
        input_size: its side in pixels.
        anchors: rows of both outputs.
        thresholds: see `Thresholds`.
        calibration: see `Calibration`.
        manifest: the whole manifest as it was read.
        tone: brightness of print that `tone.even_tone` brings cards to first, or None for as they are.
    """

    folder: str
    model: str
    model_sha256: str
    labels: Tuple[str, ...]
    deck: Optional[Tuple[Tuple[int, ...], ...]]
    input_name: str
    input_size: int
    anchors: int
    thresholds: Thresholds
    calibration: Calibration
    manifest: Dict[str, Any]
    tone: Optional[float] = None

    def fingerprint(self) -> str:
        """Return hexadecimal digits of all that the manifest tells, which has the hash of every file."""
        return hashlib.sha256(json.dumps(self.manifest, sort_keys=True).encode("utf-8")).hexdigest()


def load_bundle(path: str, verify: bool = True) -> Bundle:
    """Read a bundle's manifest and check every file that it names.

    Args:
        path: the bundle's folder.
        verify: also compare every file's SHA-256; existence and size are always checked.

    Raises:
        BundleError: something is missing, damaged, contradictory or newer than this version.
    """
    folder = os.fspath(path)
    where = os.path.join(folder, "manifest.json")
    manifest = _read_manifest(where)
    version = _need(where, manifest, "schema_version", int)
    if version > SCHEMA_VERSION:
        problem = "schema version {} is newer than {}, the newest known here: update the jetson package"
        raise BundleError(where, problem.format(version, SCHEMA_VERSION))
    if version < 1:
        raise BundleError(where, "schema version {} does not exist: export the bundle again".format(version))

    for listed in listed_files(where, manifest):
        _check_file(folder, listed, verify)

    labels = _labels(where, manifest)
    _check_labels_file(os.path.join(folder, "labels.txt"), labels)
    input_name, input_size, tone = _input(where, manifest)
    return Bundle(
        folder=folder,
        model=os.path.join(folder, "model.onnx"),
        model_sha256=manifest["files"]["model.onnx"]["sha256"],
        labels=labels,
        deck=_deck(where, manifest, labels),
        input_name=input_name,
        input_size=input_size,
        tone=tone,
        anchors=_anchors(where, manifest, len(labels)),
        thresholds=_thresholds(where, manifest),
        calibration=_calibration(where, manifest),
        manifest=manifest,
    )


def listed_files(where: str, manifest: Dict[str, Any]) -> List[ListedFile]:
    """Return the files that a manifest names, by name; none of the names leads out of the bundle.

    Args:
        where: path or address of the manifest, for messages.
        manifest: as it was read.

    Raises:
        BundleError: a file has no size or hash, its name leads out, or model or labels are missing.
    """
    files = _need(where, manifest, "files", dict)
    for name in ("model.onnx", "labels.txt"):
        _need(where, files, name, dict, "files.")
    listed: List[ListedFile] = []
    for name in sorted(files):
        if os.path.isabs(name) or "\\" in name or ":" in name or {"", ".", ".."} & set(name.split("/")):
            raise BundleError(where, "file name {!r} leads out of the bundle: do not use it".format(name))
        facts = _need(where, files, name, dict, "files.")
        prefix = "files.{}.".format(name)
        size = _need(where, facts, "bytes", int, prefix)
        listed.append(ListedFile(name, size, _need(where, facts, "sha256", str, prefix)))
    return listed


def _read_manifest(where: str) -> Dict[str, Any]:
    try:
        with open(where, encoding="utf-8") as stream:
            manifest = json.load(stream)
    except FileNotFoundError:
        raise BundleError(where, "does not exist: name the folder of an exported bundle") from None
    except (OSError, ValueError) as error:
        raise BundleError(where, "cannot be read ({}): copy the bundle again".format(error)) from None
    if not isinstance(manifest, dict):
        raise BundleError(where, "is not a JSON object: copy the bundle again")
    return manifest


def _need(where: str, values: Dict[str, Any], key: str, kind: Any, prefix: str = "") -> Any:
    """Return values[key], which must be there and of the kind; the message names prefix + key."""
    if key not in values:
        raise BundleError(where, "has no {}{}: export the bundle again".format(prefix, key))
    value = values[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BundleError(where, "{}{} is of the wrong type: export the bundle again".format(prefix, key))
    return value


def _check_file(folder: str, listed: ListedFile, verify: bool) -> None:
    path = os.path.join(folder, *listed.name.split("/"))
    if not os.path.isfile(path):
        raise BundleError(path, "is missing: copy the bundle again")
    size = os.path.getsize(path)
    if size != listed.size:
        problem = "has {} bytes, the manifest says {}: copy the bundle again"
        raise BundleError(path, problem.format(size, listed.size))
    if verify and _sha256(path) != listed.sha256:
        raise BundleError(path, "is not the file the manifest describes (SHA-256): copy the bundle again")


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _labels(where: str, manifest: Dict[str, Any]) -> Tuple[str, ...]:
    labels = _need(where, manifest, "labels", list)
    if len(labels) < 2 or not all(isinstance(label, str) and label for label in labels):
        raise BundleError(where, "labels must be two names or more: export the bundle again")
    if len(set(labels)) != len(labels) or BACKGROUND in labels:
        raise BundleError(where, "labels must differ and leave out the background: export the bundle again")
    return tuple(labels)


def _check_labels_file(path: str, labels: Tuple[str, ...]) -> None:
    try:
        with open(path, encoding="utf-8") as stream:
            lines = stream.read().splitlines()
    except (OSError, ValueError) as error:
        raise BundleError(path, "cannot be read ({}): copy the bundle again".format(error)) from None
    if lines != [BACKGROUND] + list(labels):
        problem = "must hold {} and then the manifest's {} labels in their order: export the bundle again"
        raise BundleError(path, problem.format(BACKGROUND, len(labels)))


def _deck(
    where: str, manifest: Dict[str, Any], labels: Tuple[str, ...]
) -> Optional[Tuple[Tuple[int, ...], ...]]:
    if "deck" not in manifest:
        raise BundleError(where, "has no deck (null when it is unknown): export the bundle again")
    if manifest["deck"] is None:
        return None
    cards: List[Tuple[int, ...]] = []
    ids = {label: number for number, label in enumerate(labels)}
    for position, names in enumerate(_need(where, manifest, "deck", list)):
        if not isinstance(names, list) or any(not isinstance(name, str) or name not in ids for name in names):
            problem = "card {} of the deck has a symbol that is no label: export the bundle again"
            raise BundleError(where, problem.format(position))
        cards.append(tuple(sorted(ids[name] for name in names)))
    if len(cards) < 2:
        raise BundleError(where, "the deck has fewer than two cards: export the bundle again")
    for second in range(len(cards)):
        for first in range(second):
            shared = len(set(cards[first]) & set(cards[second]))
            if shared != 1:
                problem = "cards {} and {} of the deck share {} symbols, not one: export the bundle again"
                raise BundleError(where, problem.format(first, second, shared))
    return tuple(cards)


def _input(where: str, manifest: Dict[str, Any]) -> Tuple[str, int, Optional[float]]:
    facts = _need(where, manifest, "input", dict)
    for key in sorted(PREPARATION):
        if _need(where, facts, key, (str, int, float), "input.") != PREPARATION[key]:
            problem = "input.{} is {!r}, this version prepares {!r}: update the jetson package"
            raise BundleError(where, problem.format(key, facts[key], PREPARATION[key]))
    shape = _need(where, facts, "shape", list, "input.")
    sizes_fit = len(shape) == 4 and all(isinstance(side, int) and side > 0 for side in shape)
    if not sizes_fit or shape[:2] != [1, 3] or shape[2] != shape[3]:
        raise BundleError(where, "input.shape {} is not [1, 3, S, S]: export the bundle again".format(shape))
    tone = facts.get("tone")
    if tone is not None and not 0.0 < _need(where, facts, "tone", (int, float), "input.") < 1.0:
        raise BundleError(where, "input.tone is {}, not between 0 and 1: export again".format(tone))
    return _need(where, facts, "name", str, "input."), shape[2], tone


def _anchors(where: str, manifest: Dict[str, Any], classes: int) -> int:
    outputs = _need(where, manifest, "outputs", dict)
    shapes: List[List[Any]] = []
    for name in ("scores", "boxes"):
        facts = _need(where, outputs, name, dict, "outputs.")
        shapes.append(_need(where, facts, "shape", list, "outputs.{}.".format(name)))
    scores, boxes = shapes
    anchors = scores[1] if len(scores) == 3 and isinstance(scores[1], int) else 0
    if anchors < 1 or scores != [1, anchors, classes + 1] or boxes != [1, anchors, 4]:
        problem = "output shapes {} and {} do not fit {} labels: export the bundle again"
        raise BundleError(where, problem.format(scores, boxes, classes))
    return anchors


def _thresholds(where: str, manifest: Dict[str, Any]) -> Thresholds:
    facts = _need(where, manifest, "thresholds", dict)
    values = []
    for key in Thresholds._fields:
        value = float(_need(where, facts, key, (int, float), "thresholds."))
        if not 0.0 <= value <= 1.0:
            raise BundleError(where, "thresholds.{} is {}, not in 0..1: export again".format(key, value))
        values.append(value)
    return Thresholds(*values)


def _calibration(where: str, manifest: Dict[str, Any]) -> Calibration:
    facts = _need(where, manifest, "calibration", dict)
    values = []
    for key in Calibration._fields:
        value = float(_need(where, facts, key, (int, float), "calibration."))
        if not 0.0 < value < float("inf"):
            raise BundleError(where, "calibration.{} is {}, not above 0: export again".format(key, value))
        values.append(value)
    return Calibration(*values)
