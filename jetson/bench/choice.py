"""Turns the benchmark's verdict into `choice.json` and back: which runtime serves, and which comes next."""

import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from jetson.board.board import Board
from jetson.errors import ChoiceError
from jetson.play.bundle import Bundle

SCHEMA_VERSION = 1


class Candidate(NamedTuple):
    """One runtime in the benchmark; what was not measured is None.

    Attributes:
        name: as in `jetson.runners.RUNNERS`.
        eligible: whether it may serve this model on this device.
        reason: why not, or what was checked.
        p50_ms, p90_ms, p99_ms: percentiles of one card's network, host array to host array.
        frame_p50_ms: median of a whole frame with two cards: find, prepare, network, decode, match.
        energy_mj: of the whole board for one card, in millijoules.
        energy_net_mj: the same without what the board draws when idle.
        memory_mb: peak resident memory of its process.
        throttled: whether the board lowered its clocks during one of its blocks.
    """

    name: str
    eligible: bool
    reason: str
    p50_ms: Optional[float] = None
    p90_ms: Optional[float] = None
    p99_ms: Optional[float] = None
    frame_p50_ms: Optional[float] = None
    energy_mj: Optional[float] = None
    energy_net_mj: Optional[float] = None
    memory_mb: Optional[float] = None
    throttled: Optional[bool] = None


class Choice(NamedTuple):
    """The verdict of one benchmark.

    Attributes:
        winner: the runtime that serves.
        order: the winner and then the runtimes to fall back to, best first.
        reason: why this one, in one sentence.
        date: when, as ISO 8601 in UTC.
        model_sha256: of the model that was measured.
        board: what it was measured on.
        versions: of what has a say in speed: name to version.
        quick: whether it was shortened; then it is a hint, not a result.
        candidates: every runtime that this package knows, those that cannot run here too.
        bundle: fingerprint of the bundle that was measured: thresholds, deck and samples count as well.
    """

    winner: str
    order: List[str]
    reason: str
    date: str
    model_sha256: str
    board: str
    versions: Dict[str, str]
    quick: bool
    candidates: List[Candidate]
    bundle: str = ""


def write_choice(path: str, choice: Choice) -> None:
    """Write the verdict whole or not at all.

    Raises:
        ChoiceError: the file cannot be written.
    """
    values: Dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    values.update(choice._asdict())
    values["candidates"] = [dict(candidate._asdict()) for candidate in choice.candidates]
    target = os.path.realpath(path)  # a link stays
    side = target + ".new"
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(side, "w", encoding="utf-8") as stream:
            json.dump(values, stream, indent=1, ensure_ascii=False)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(side, target)
    except OSError as error:
        raise ChoiceError(path, "cannot be written ({})".format(error.strerror or error)) from None


def read_choice(path: str, bundle: Bundle, another: bool = False) -> Tuple[Optional[Choice], str]:
    """Read the verdict about this bundle on this board.

    Args:
        path: where it was written.
        bundle: that is to be served.
        another: take a verdict about another bundle on this board, too: a hint, and nobody has compared its
            runtimes with the reference of this one.

    Returns:
        The choice and its reason; or None and why there is none: never benchmarked, benchmarked with another
        bundle, board or JetPack, or a file that cannot be read. None of these keeps a device from serving.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            values = json.load(stream)
    except FileNotFoundError:
        return None, "this device has not been benchmarked"
    except (OSError, ValueError) as error:
        return None, "{} cannot be read ({})".format(path, error)
    if not isinstance(values, dict) or values.get("schema_version") != SCHEMA_VERSION:
        return None, "{} is of another version".format(path)
    try:
        choice = _parse(values)
    except (KeyError, TypeError, ValueError) as error:
        return None, "{} is damaged ({})".format(path, error)
    changed = (None if another else _other_bundle(choice, bundle)) or _other_device(choice)
    return (choice, choice.reason) if changed is None else (None, changed)


def _other_bundle(choice: Choice, bundle: Bundle) -> Optional[str]:
    """Say what of the bundle is not as it was measured; what the choice does not tell is not compared."""
    if choice.model_sha256 != bundle.model_sha256:
        return "the benchmark was of another model"
    if choice.bundle not in ("", bundle.fingerprint()):
        return "the benchmark was of another bundle of this model"
    return None


def _other_device(choice: Choice) -> Optional[str]:
    """Say the same of the device."""
    board = Board()
    if choice.board not in ("", board.model or board.processor):
        return "the benchmark was on another board ({})".format(choice.board)
    l4t = choice.versions.get("l4t")
    if l4t is not None and l4t != board.l4t:
        return "the benchmark was with L4T {}, and {} is here".format(l4t, board.l4t or "none")
    return None


def _parse(values: Dict[str, Any]) -> Choice:
    known = {field: values[field] for field in Choice._fields if field in values or field != "bundle"}
    known["candidates"] = [
        Candidate(**{field: candidate[field] for field in Candidate._fields})
        for candidate in values["candidates"]
    ]
    choice = Choice(**known)
    texts = [
        choice.winner,
        choice.reason,
        choice.date,
        choice.model_sha256,
        choice.board,
        choice.bundle,
    ] + choice.order
    if not all(isinstance(text, str) for text in texts) or choice.order[:1] != [choice.winner]:
        raise ValueError("the winner does not lead the order")
    return choice
