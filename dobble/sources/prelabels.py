"""A model's detections to boxes that Labelbox suggests to the person who labels."""

import hashlib
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from dobble.data.annotations import LabelledBox
from dobble.data.orientation import turn_back, turn_boxes
from dobble.data.photos import check_photo
from dobble.sources.errors import LabelboxError
from dobble.sources.labelbox import LabelboxSettings, wait_for
from jetson.play.bundle import Bundle

JsonDict = dict[str, Any]
Item = TypeVar("Item")

_AT_ONCE = 200


def suggest(
    client: Any, project: Any, model: Bundle, folder: Path, keys: dict[str, str], settings: LabelboxSettings
) -> int:
    """Send the detections on photos as pre-labels; what an earlier run sent is not sent again.

    Args:
        client: of the SDK.
        project: of the SDK, with a box tool for each of the model's labels and a batch with the photos.
        model: a checked bundle; detections above its score threshold count.
        folder: where the photos lie.
        keys: global key of each photo, by its external id.
        settings: how long to wait.

    Returns:
        How many boxes were sent.

    Raises:
        LabelboxError: if Labelbox refuses some of them.
    """
    import labelbox  # type: ignore[import-untyped]  # noqa: PLC0415 (takes a second)

    earlier = {sent.name: sent.state.value for sent in project.get_mal_prediction_imports()}
    count = 0
    for part in parts(list(keys)):
        name = f"dobble {model.model_sha256[:8]} {digest([keys[photo] for photo in part])}"
        tries = sum(known.startswith(name) for known in earlier)
        if any(known.startswith(name) and state != "FAILED" for known, state in earlier.items()):
            continue
        boxes = list(suggestions(model, folder, {photo: keys[photo] for photo in part}))
        if not boxes:
            continue
        sent = labelbox.MALPredictionImport.create_from_objects(
            client, project.uid, f"{name} {tries}" if tries else name, boxes
        )
        wait_for(sent, "state", labelbox.schema.enums.AnnotationImportState.RUNNING, settings)
        _check(sent, len(boxes))
        count += len(boxes)
    return count


def suggestions(model: Bundle, folder: Path, keys: dict[str, str]) -> Iterator[JsonDict]:
    """Give the detections on photos in the form of Labelbox's annotation import.

    Boxes are in pixels as the file stores them, for Labelbox does not heed EXIF. A box keeps its identity
    when the same model looks again.
    """
    from dobble.detector.dataset import read_photo  # noqa: PLC0415 (PyTorch takes seconds)
    from jetson.play.detect import Detector  # noqa: PLC0415
    from jetson.runners import open_runner  # noqa: PLC0415

    with open_runner("onnxruntime-cpu", model) as runner:
        detector = Detector(model, runner)
        for photo, key in tqdm(keys.items(), desc="suggest", unit="photo", disable=None):
            size = check_photo(folder / photo)
            seen = detector.read(read_photo(folder / photo)).detections
            boxes = [
                LabelledBox(model.labels[label], left, top, right - left, bottom - top)
                for (left, top, right, bottom), label in zip(
                    seen.boxes.tolist(), seen.labels.tolist(), strict=True
                )
            ]
            stored = turn_boxes(boxes, turn_back(size.orientation), size.upright)
            for number, box in enumerate(stored):
                yield {
                    "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{model.model_sha256} {key} {number}")),
                    "dataRow": {"globalKey": key},
                    "name": box.name,
                    "bbox": {
                        side: round(getattr(box, side), 1) for side in ("left", "top", "width", "height")
                    },
                }


def parts(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Cut a list into parts of a size that Labelbox takes in one request."""
    for start in range(0, len(items), _AT_ONCE):
        yield list(items[start : start + _AT_ONCE])


def digest(keys: Sequence[str]) -> str:
    """Give a short name for a set of global keys in their order."""
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:12]


def _check(sent: Any, count: int) -> None:
    if sent.state.value != "FINISHED":
        raise LabelboxError(f"the import of {count} suggested boxes ended as {sent.state.value}: run again")
    refused = sent.errors if sent.error_file_url else []
    if refused:
        problems = [error.get("message", "") for error in refused[0].get("errors") or []]
        first = problems[0] if problems else "no reason given"
        raise LabelboxError(f"Labelbox refuses {len(refused)} of {count} suggested boxes ({first})")
