import re

import cv2
import numpy as np
import pytest

from dobble.detector.game_accuracy import Answers, Game
from dobble.detector.metrics import Agreement, AveragePrecision
from dobble.errors import PhotoError
from dobble.evaluation.reliability import measure_reliability
from dobble.evaluation.report import (
    Metric,
    Picture,
    Report,
    Section,
    describe_metrics,
    describe_reliability,
    write_report,
)


def picture(path, noise=False, side=16):
    values = (
        np.random.default_rng(0).integers(0, 256, (side, side, 3)) if noise else np.full((side, side, 3), 90)
    )
    cv2.imwrite(str(path), values.astype(np.uint8))
    return path


def report(matches=(), sections=(), metrics=(), parameters=None):
    return Report(
        title="Evaluation of <b>",
        summary="One deck & one network",
        metrics=metrics,
        matches=matches,
        sections=sections,
        parameters=parameters or {},
        machine="2 cores",
    )


def embedded(page):
    return re.findall(r'<img src="data:image/(\w+);base64,([^"]+)"', page)


def test_report_carries_its_pictures_and_refers_to_nothing_outside(tmp_path):
    match = Picture(picture(tmp_path / "match.png"), "anchor, 97 %")
    photo = Picture(picture(tmp_path / "photo.jpg"), "card 3")
    path = write_report(tmp_path / "out", report([match], [Section("Best", "", [photo])]))
    page = path.read_text(encoding="utf-8")
    assert path == tmp_path / "out" / "report.html"
    assert [kind for kind, _ in embedded(page)] == ["png", "jpeg"]
    assert page.count("<img") == 2
    assert "://" not in page
    assert not re.search(r"<script|<link|@import|url\(|src=\"(?!data:)|href=", page)


def test_played_matches_come_before_the_numbers_and_these_before_the_sections(tmp_path):
    match = Picture(picture(tmp_path / "match.png"), "anchor, 97 %")
    section = Section("Confusion matrix", "rows are predictions", [match])
    page = write_report(tmp_path, report([match], [section], [Metric("mAP", 0.5, "why")])).read_text()
    places = [
        page.index(text) for text in ("Played matches", "The numbers", "Confusion matrix", "Parameters")
    ]
    assert places == sorted(places)


def test_names_are_shown_as_text_and_not_read_as_markup(tmp_path):
    match = Picture(picture(tmp_path / "match.png"), 'a <b>"symbol"</b>')
    metrics = [Metric("<i>", 1, "<u>")]
    page = write_report(tmp_path, report([match], metrics=metrics, parameters={"<s>": "<p&>"})).read_text()
    assert "Evaluation of &lt;b&gt;" in page
    assert "One deck &amp; one network" in page
    assert not re.search(r"<(b|i|u|s|p&)>", page)
    assert 'alt="a &lt;b&gt;&#34;symbol&#34;&lt;/b&gt;"' in page


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.98765, "0.988"), (float("nan"), "–"), (1596, "1,596"), ("97.1%", "97.1%"), (0.0, "0.000")],
)
def test_values_are_shown_for_people(value, shown, tmp_path):
    page = write_report(tmp_path, report(metrics=[Metric("name", value, "why")])).read_text(encoding="utf-8")
    assert f"<strong>{shown}</strong>" in page
    assert f'<td class="value">{shown}</td>' in page


def test_same_report_gives_the_same_bytes(tmp_path):
    match = Picture(picture(tmp_path / "match.png", noise=True, side=400), "anchor")
    first = write_report(tmp_path / "first", report([match])).read_bytes()
    assert first == write_report(tmp_path / "second", report([match])).read_bytes()


def test_large_pictures_are_made_small_enough_to_mail(tmp_path):
    large = picture(tmp_path / "large.png", noise=True, side=1700)
    assert large.stat().st_size > 8_000_000
    path = write_report(tmp_path, report([Picture(large, "noise")]))
    [(kind, _)] = embedded(path.read_text())
    assert kind == "jpeg"
    assert path.stat().st_size < 4_000_000


@pytest.mark.parametrize("data", [None, b"no picture"])
def test_missing_or_broken_picture_is_named_and_the_old_report_stays(data, tmp_path):
    path = write_report(tmp_path, report())
    before = path.read_bytes()
    broken = tmp_path / "broken.png"
    if data is not None:
        broken.write_bytes(data)
    with pytest.raises(PhotoError, match=r"broken\.png: "):
        write_report(tmp_path, report([Picture(broken, "anchor")]))
    assert path.read_bytes() == before


def game(deck_known):
    """Four pairs, of which the naive rule wins two, joint evidence three, and the deck all."""
    pairs = np.array([[0, 1, 0], [0, 2, 1], [1, 2, 2], [1, 3, 0]])

    def answers(symbols):
        return Answers(
            np.array(symbols), np.full(4, 0.9), np.full(4, 0.8), np.array([True, True, True, False])
        )

    simple = np.array([True, True, False, False])
    return Game(pairs, simple, answers([0, 1, 2, 2]), answers([0, 1, 2, 0]) if deck_known else None)


def test_metrics_are_put_into_words():
    average = AveragePrecision(0.86, 0.98, 0.97, np.array([0.86]), np.zeros(101), np.zeros(101))
    agreement = Agreement(accuracy=0.99, mean_iou=0.9, right=396, wrong=4)
    rows = describe_metrics(game(True), average, agreement, iou_threshold=0.6, score_threshold=0.5)
    shown = {row.name: row.value for row in rows}
    assert shown["Matches won"] == "75.0%"
    assert shown["Matches won, naive rule"] == "50.0%"
    assert shown["mAP"] == 0.86
    assert shown["Accuracy"] == "99.0%"
    assert shown["Matches won, deck known"] == "100.0%"
    assert "4 pairs" in rows[0].explanation
    without = describe_metrics(game(False), average, agreement, iou_threshold=0.6, score_threshold=0.5)
    assert [row.name for row in without] == [row.name for row in rows][:-1]


def test_probabilities_are_put_into_words():
    played = game(False)
    reliability = {"joint": measure_reliability(played.joint, played.won["joint"])}
    shown = {row.name: row.value for row in describe_reliability(reliability, 0.5)}
    assert shown == {
        "Answered, joint evidence": "75.0%",
        "Wrong among the answered, joint evidence": "0.0%",
        "Calibration error, joint evidence": pytest.approx(0.15),  # .9 is shown, .75 is right
    }
