"""An exam's result to what a person reads: a summary, a page with the failures, and a list of all of them."""

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dobble.detector.dataset import read_photo
from dobble.errors import OutputError
from dobble.evaluation.exam import TABLES, Answer, Mark, Result, TableSeen, wilson
from dobble.evaluation.reliability import calibration_error
from dobble.evaluation.report import Metric, Picture, Report, Section, write_report
from dobble.files import replaced_file, replaced_folder
from jetson.play.draw import draw_match, draw_table

FAILURES = "failures.csv"
MARKS: tuple[Mark, ...] = ("right", "wrong", "unanswered", "card not found")
_SHOWN = 40  # failures of a kind that the page shows as pictures; the list has all
_LONGEST_SIDE = 1000  # of such a picture, in pixels
_MISSED = (60, 76, 205)  # red, in BGR


def summarise(result: Result) -> dict[str, Any]:
    """Count cards and answers: plain values for JSON.

    Shares come with their 95 % interval (Wilson); `wrong_among_answered` is what a player notices, and
    `calibration_error` (ECE, ten bins) tells whether the probability shown can be trusted there.
    """
    return {
        "cards": {
            "known": result.known,
            "found": result.found,
            "false": result.false,
            "found_interval": _interval(result.found, result.known),
        },
        "answers": {
            group: {rule: _count(result.of(group, rule)) for rule in result.rules} for group in result.groups
        },
    }


def describe(counted: dict[str, Any]) -> str:
    """Put what `summarise` counted into a table of text."""
    lines = []
    if counted["cards"]["known"]:
        lines.append("{found} of {known} cards found, {false} false".format(**counted["cards"]))
    lines.append(
        f"{'':<32}{'pairs':>7}{'right':>7}{'wrong':>7}{'open':>7}{'no card':>9}  right, 95 %     ECE"
    )
    for group, rules in counted["answers"].items():
        for rule, count in rules.items():
            numbers = f"{count['pairs']:>7}{count['right']:>7}{count['wrong']:>7}{count['unanswered']:>7}"
            low, high = count["right_interval"]
            lines.append(
                f"{f'{group}, {rule}':<32}{numbers}{count['card not found']:>9}  {low:.1%} to {high:.1%}"
                + ("" if count["calibration_error"] is None else f"  {count['calibration_error']:.3f}")
            )
    return "\n".join(lines) + "\n"


def check_replaceable(folder: Path) -> None:
    """Make sure that nothing but an earlier exam's page would be lost.

    Raises:
        OutputError: if the folder holds other files, such as the photographs themselves.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / FAILURES).is_file():
        raise OutputError(folder, "it holds files that are of no exam: name a folder of its own")


def write_exam(folder: Path, result: Result, labels: Sequence[str], about: Mapping[str, object]) -> Path:
    """Write the page and the list of failures into a folder, which appears whole or not.

    Args:
        folder: to write.
        result: of the exam.
        labels: names of the symbols by class id.
        about: what the result depends on, for the end of the page.

    Returns:
        The page.

    Raises:
        OutputError: if the folder cannot be written, or holds other files.
    """
    check_replaceable(folder)
    counted = summarise(result)
    with replaced_folder(folder) as side:
        pictures = side / "pictures"
        pictures.mkdir()
        with replaced_file(side / FAILURES) as target:
            target.write_text(_listed(result, labels), encoding="utf-8")
        report = Report(
            title="Exam on photographs",
            summary=_sentence(counted),
            metrics=_metrics(counted),
            matches=[],
            sections=[
                _missed_cards(pictures, result.tables),
                *(_answers(pictures, result, rule, labels) for rule in result.rules),
            ],
            parameters=about,
            machine=f"Every failure stands in {FAILURES}, beside this page.",
        )
        page = write_report(side, report)
    return folder / page.name


def _count(answers: Sequence[Answer]) -> dict[str, Any]:
    counted: dict[str, Any] = {mark: sum(one.mark == mark for one in answers) for mark in MARKS}
    answered = counted["right"] + counted["wrong"]
    return {
        "pairs": len(answers),
        **counted,
        "right_interval": _interval(counted["right"], len(answers)),
        "wrong_among_answered": round(counted["wrong"] / answered, 4) if answered else 0.0,
        "calibration_error": _calibration_error(answers),
    }


def _calibration_error(answers: Sequence[Answer]) -> float | None:
    """How far the probabilities shown are from the share that is right, withheld answers included."""
    said = [one for one in answers if one.said is not None]
    if not said:
        return None
    shown = np.array([one.said.probability for one in said if one.said is not None])
    return round(calibration_error(shown, np.array([one.named == one.symbol for one in said])), 4)


def _interval(count: int, total: int) -> list[float]:
    return [round(edge, 4) for edge in wilson(count, total)]


def _sentence(counted: dict[str, Any]) -> str:
    cards = counted["cards"]
    pairs = sum(next(iter(rules.values()))["pairs"] for rules in counted["answers"].values())
    on_tables = f"{cards['found']} of {cards['known']} cards found, {cards['false']} false; " * bool(
        cards["known"]
    )
    return f"{on_tables}{pairs:,} pairs of cards with known answers."


def _metrics(counted: dict[str, Any]) -> list[Metric]:
    rows = []
    if counted["cards"]["known"]:
        cards = counted["cards"]
        low, high = cards["found_interval"]
        text = f"{cards['false']} false ones beside them. 95 % interval: {low:.1%} to {high:.1%}."
        rows.append(Metric("Cards found", f"{cards['found']} of {cards['known']}", text))
    for group, rules in counted["answers"].items():
        for rule, count in rules.items():
            low, high = count["right_interval"]
            text = (
                f"{count['wrong']} wrong, {count['unanswered']} without an answer, {count['card not found']} "
                f"with a card not found. 95 % interval: {low:.1%} to {high:.1%}."
            )
            if count["calibration_error"] is not None:
                text += f" Calibration error {count['calibration_error']:.3f}."
            rows.append(Metric(f"{group}, {rule}", f"{count['right']} of {count['pairs']}", text))
    return rows


def _listed(result: Result, labels: Sequence[str]) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["group", "rule", "pictures", "right answer", "mark", "said", "probability", "reason"])
    for seen in result.tables:
        for place in seen.missed:
            symbols = " ".join(sorted(seen.known.cards[place].symbols))
            rows.writerow([TABLES, "", seen.known.path.name, "", "card missed", symbols, "", ""])
        for place in seen.false:
            box = " ".join(f"{edge:.0f}" for edge in seen.found[place].box)
            rows.writerow([TABLES, "", seen.known.path.name, "", "false card", box, "", ""])
    for one in result.answers:
        if one.mark == "right":
            continue
        said, probability, reason = "", "", ""
        if one.said is not None:
            said, reason = labels[one.said.symbol], one.said.no_answer or ""
            probability = f"{one.said.probability:.4f}"
        names = " ".join(path.name for path in one.paths)
        rows.writerow([one.group, one.rule, names, one.symbol, one.mark, said, probability, reason])
    return out.getvalue()


def _missed_cards(folder: Path, tables: Sequence[TableSeen]) -> Section:
    pictures = []
    for number, seen in enumerate(one for one in tables if one.missed or one.false):
        image = read_photo(seen.known.path)
        drawn = draw_table(image, list(seen.found), None, ())
        for place in seen.missed:
            x, y = seen.known.cards[place].centre(image.shape[1], image.shape[0])
            thickness = max(2, max(image.shape[:2]) // 200)
            cv2.drawMarker(
                drawn,
                (round(x), round(y)),
                _MISSED,
                cv2.MARKER_TILTED_CROSS,
                24 * thickness,
                thickness,
                cv2.LINE_AA,
            )
        path = folder / f"cards_{number:03d}.jpg"
        _save(path, drawn)
        caption = f"{seen.known.path.name}: {len(seen.missed)} missed (red), {len(seen.false)} false"
        pictures.append(Picture(path, caption))
    text = (
        "Where a card was not found, or something else was taken for one; what was found has a white frame."
    )
    return Section("Cards", text if pictures else "All were found, and nothing else.", pictures)


def _answers(folder: Path, result: Result, rule: str, labels: Sequence[str]) -> Section:
    failed = [one for one in result.answers if one.rule == rule and one.mark in {"wrong", "unanswered"}]
    failed.sort(key=lambda one: MARKS.index(one.mark))
    pictures = []
    for number, one in enumerate(failed[:_SHOWN]):
        assert one.said is not None
        images = [read_photo(path) for path in one.paths]
        if len(images) == 2:
            drawn = draw_match(images[0], images[1], one.said, labels)
        else:
            drawn = draw_table(images[0], [], one.said, labels)
        path = folder / f"{result.rules.index(rule)}_{number:03d}.jpg"
        _save(path, drawn)
        said = one.said.no_answer or f"{labels[one.said.symbol]} ({one.said.probability:.0%})"
        pictures.append(
            Picture(path, f"{', '.join(path.name for path in one.paths)}: {said}; it is {one.symbol}")
        )
    counts = ", ".join(f"{len(list(same))} {mark}" for mark, same in groupby(failed, lambda one: one.mark))
    more = f"; the first {_SHOWN} are shown, all stand in {FAILURES}" if len(failed) > len(pictures) else ""
    return Section(rule.capitalize(), f"{counts}{more}." if failed else "Nothing was wrong.", pictures)


def _save(path: Path, picture: NDArray[np.uint8]) -> None:
    scale = _LONGEST_SIDE / max(picture.shape[:2])
    if scale < 1:
        picture = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    path.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())
