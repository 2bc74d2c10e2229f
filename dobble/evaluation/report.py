"""Metrics, played matches and figures to one HTML file that can be mailed: it holds its pictures itself."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from dobble.detector.game_accuracy import Game
from dobble.detector.metrics import Agreement, AveragePrecision
from dobble.errors import PhotoError
from dobble.evaluation.reliability import Reliability
from dobble.files import replaced_file

REPORT = "report.html"
LARGE_BYTES = 250_000  # bigger pictures are embedded as JPEG …
LONGEST_SIDE = 1600  # … of at most so many pixels, so that a report with dozens can still be mailed


@dataclass(frozen=True)
class Metric:
    """One number with what it means; floats are shown with three decimals, NaN as a dash."""

    name: str
    value: float | int | str
    explanation: str


@dataclass(frozen=True)
class Picture:
    """A PNG or JPEG file and the line below it."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Section:
    """Pictures under a heading: one takes the whole width, several share it.

    `page` is the name of a file beside the report with more, if there is one.
    """

    title: str
    text: str
    pictures: Sequence[Picture]
    page: str | None = None


@dataclass(frozen=True)
class Report:
    """What a report says.

    Attributes:
        title: heading of the page.
        summary: one sentence below it.
        metrics: rows of the table; the first three stand large at the top of the page as well.
        matches: played matches, the first thing to see.
        sections: everything else in its order: curves, confusion matrix, best and worst photos, …
        parameters: dotted names and values of what the result depends on.
        machine: where it was computed, in one line.
    """

    title: str
    summary: str
    metrics: Sequence[Metric]
    matches: Sequence[Picture]
    sections: Sequence[Section]
    parameters: Mapping[str, object]
    machine: str


def write_report(folder: Path, report: Report) -> Path:
    """Write `report.html` into a folder and return its path; the same report gives the same bytes.

    Raises:
        PhotoError: if a picture is missing or cannot be read.
        OutputError: if the file cannot be written.
    """
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"embedded": _embedded, "shown": _shown}
    page = templates.get_template("report.html.jinja").render(report=report)
    with replaced_file(folder / REPORT) as target:
        target.write_text(page, encoding="utf-8")
    return folder / REPORT


def describe_metrics(
    game: Game,
    average: AveragePrecision,
    agreement: Agreement,
    *,
    iou_threshold: float,
    score_threshold: float,
) -> list[Metric]:
    """Put the metrics into words, those first that say most."""
    pairs = f"{len(game.pairs):,} pairs of photos that show different cards"
    won = game.accuracy
    on_symbol = agreement.right + agreement.wrong
    rows = [
        Metric(
            "Matches won",
            f"{won['joint']:.1%}",
            f"Of {pairs}, those whose shared symbol is named right by the evidence of both cards together.",
        ),
        Metric(
            "mAP",
            average.map,
            "Mean average precision, 1 is perfect: how many finds are right while ever more symbols are "
            "found; mean over the symbols and ten demands on how closely a box must fit (IoU .50 to .95).",
        ),
        Metric("mAP at IoU .50", average.map50, "The same when a box need only roughly lie on its symbol."),
        Metric("mAP at IoU .75", average.map75, "The same when a box must fit closely."),
        Metric(
            "Accuracy",
            f"{agreement.accuracy:.1%}",
            f"Of the {on_symbol:,} detections that lie on a symbol (score above {score_threshold:g}, IoU "
            f"from {iou_threshold:g}), those that name it right. Missed symbols and detections on nothing "
            "do not count here: the confusion matrix shows them.",
        ),
        Metric(
            "Mean IoU",
            agreement.mean_iou,
            "How closely those that are right fit: shared area over joint area.",
        ),
        Metric(
            "Matches won, naive rule",
            f"{won['simple']:.1%}",
            "The same matches, won by the symbol detected on both cards with the highest mean score: one "
            "missed symbol loses the match.",
        ),
    ]
    if "deck" in won:
        known = Metric(
            "Matches won, deck known",
            f"{won['deck']:.1%}",
            "The same matches when the device also knows which symbols each card of the deck has. It "
            "forgives most faults of the detector, so judge the detector by the other numbers.",
        )
        rows.append(known)
    return rows


def describe_reliability(reliability: Mapping[str, Reliability], match_probability: float) -> list[Metric]:
    """Put into words how far the probabilities of each rule can be trusted."""
    rows = []
    for rule, one in reliability.items():
        name = {"joint": "joint evidence", "deck": "deck known"}[rule]
        rows += [
            Metric(
                f"Answered, {name}",
                f"{one.answered:.1%}",
                f"Pairs whose answer is given, for its probability reaches {match_probability:g}.",
            ),
            Metric(
                f"Wrong among the answered, {name}",
                "–" if math.isnan(one.wrong) else f"{one.wrong:.1%}",
                "What a player would be told wrongly.",
            ),
            Metric(
                f"Calibration error, {name}",
                one.ece,
                "ECE: how far the probability shown lies from the share that is right, on average; "
                f"0 is honest. Mean negative log likelihood of the right symbol: {one.nll:.3f}.",
            ),
        ]
    return rows


def _shown(value: float | str) -> str:
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else value


def _embedded(path: Path) -> str:
    """A picture as a data URI."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise PhotoError(path, "no such picture for the report") from error
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    if len(data) > LARGE_BYTES or (kind == "jpeg" and not data.startswith(b"\xff\xd8")):
        data, kind = _smaller(path, np.frombuffer(data, dtype=np.uint8)), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _smaller(path: Path, data: NDArray[np.uint8]) -> bytes:
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if image is None:
        raise PhotoError(path, "is no picture that the report can show")
    scale = LONGEST_SIDE / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
