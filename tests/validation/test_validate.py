import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from validate_limits import limits

from dobble.data.convert import convert
from dobble.data.split import split
from dobble.errors import MissingInputError, ValidationError
from dobble.params import ConvertParams, SplitParams, SplitRatios, ValidateParams
from dobble.validation.validate import ValidateSummary, validate

FANO = ["efg", "abg", "cdg", "ace", "bde", "adf", "bcf"]
PARAMS = limits()
SPLIT = SplitParams(
    group_by="deck",
    group_pattern=r"deck(?P<deck>\d+)_card(?P<card>\d+)",
    ratios=SplitRatios(train=0.5, val=0.25, test=0.25),
    seed=0,
)
PROJECT = "c" + "p1" * 12


class Deck:
    """Four sessions of the seven cards of the Fano plane, each symbol a square of its own colour."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cards = {
            f"deck{session}_card{card}": list(FANO[card]) for session in range(4) for card in range(7)
        }

    def validate(self, params: ValidateParams = PARAMS) -> ValidateSummary:
        folder = self.folder
        self.write()
        convert(folder / "data", folder / "voc", ConvertParams(several_labels="refuse"))
        split(folder / "voc", folder / "splits", SPLIT)
        return validate(folder / "voc", folder / "splits", folder / "data", self.out, params, SPLIT)

    @property
    def out(self) -> Path:
        return self.folder / "validation"

    def findings(self) -> list[dict[str, str]]:
        with (self.out / "findings.csv").open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))

    def metrics(self) -> dict[str, object]:
        return json.loads((self.out / "metrics.json").read_text(encoding="utf-8"))

    def write(self) -> None:
        images = self.folder / "data" / "images"
        images.mkdir(parents=True, exist_ok=True)
        lines = []
        for number, (photo, labels) in enumerate(self.cards.items()):
            chance = np.random.default_rng(number)
            pixels = chance.integers(60, 200, (160, 160, 3), dtype=np.uint8)
            pixels = cv2.resize(pixels[:12, :12], (160, 160), interpolation=cv2.INTER_CUBIC)
            objects = []
            for place, label in enumerate(labels):
                left, top = 10 + 48 * (place % 3), 20 + 60 * (place // 3)
                pixels[top : top + 40, left : left + 40] = [(ord(label) - 96) * 12, 40, 200]
                box = {"left": left, "top": top, "width": 40, "height": 40}
                objects.append({"name": label, "annotation_kind": "ImageBoundingBox", "bounding_box": box})
            cv2.imwrite(str(images / f"{photo}.png"), pixels)
            row = {
                "data_row": {"id": "c" + f"r{number:02d}" * 8, "external_id": f"{photo}.png"},
                "projects": {PROJECT: {"labels": [{"id": photo, "annotations": {"objects": objects}}]}},
            }
            lines.append(json.dumps(row) + "\n")
        (self.folder / "data" / "export.ndjson").write_text("".join(lines), encoding="utf-8")


@pytest.fixture
def deck(tmp_path: Path) -> Deck:
    return Deck(tmp_path)


def test_a_clean_deck_passes_without_findings_or_sheets(deck: Deck) -> None:
    assert deck.validate() == ValidateSummary(28, 0, {"error": 0, "warning": 0}, {})
    assert deck.findings() == []
    assert [page.name for page in (deck.out / "sheets").iterdir()] == ["index.html"]
    assert (deck.out / "verdict.txt").read_text() == "passed\n"
    assert "Switched off by validate.deepchecks" in (deck.out / "deepchecks.html").read_text()
    assert deck.metrics() == {
        "passed": True,
        "photos": 28,
        "flagged": 0,
        "findings": {"error": 0, "warning": 0},
        "checks": {},
    }


def test_a_wrong_class_stops_the_run_with_one_line_and_leaves_the_findings(deck: Deck) -> None:
    deck.cards["deck2_card1"] = ["a", "b", "d"]
    with pytest.raises(ValidationError) as caught:
        deck.validate()
    message = str(caught.value)
    assert message.startswith(
        "1 finding in the labelled photos, the surest: photo deck2_card1: *d* is probably *g*"
    )
    assert str(deck.out / "findings.csv") in message
    assert "\n" not in message
    assert deck.findings() == [
        {
            "photo": "deck2_card1",
            "severity": "error",
            "check": "deck wrong",
            "finding": "*d* is probably *g*",
            "suggestion": "label *d* as *g*: the change would mend 3 of 3 broken pairs,"
            " 3 of 3 other photos of this card agree",
            "link": f"https://app.labelbox.com/projects/{PROJECT}/data-rows/c{'r15' * 8}",
        }
    ]
    assert deck.metrics()["passed"] is False
    assert (deck.out / "sheets/sheet01.jpg").is_file()
    assert (deck.out / "verdict.txt").read_text() == "failed\n"


def test_photos_without_symbols_are_no_mistakes_of_the_deck(deck: Deck) -> None:
    deck.cards |= {"deck0_card8": [], "deck3_card9": [], "table": []}
    done = deck.validate(PARAMS.model_copy(update={"deepchecks": True, "max_outlier_share": 1.0}))
    assert (done.photos, done.severities["error"]) == (31, 0)


def test_a_photo_without_boxes_that_is_named_as_a_card_is_an_error(deck: Deck) -> None:
    deck.cards["deck0_card1"] = []
    with pytest.raises(ValidationError, match=r"deck0_card1.*is labelled as showing nothing"):
        deck.validate()
    errors = [found["check"] for found in deck.findings() if found["severity"] == "error"]
    assert errors == ["deck empty"]


def test_parameters_say_which_severities_fail(deck: Deck) -> None:
    deck.cards["deck2_card1"] = ["a", "b", "d"]
    done = deck.validate(PARAMS.model_copy(update={"fail_on": ()}))
    assert (done.severities, done.checks) == ({"error": 1, "warning": 0}, {"deck wrong": 1})
    assert deck.metrics()["passed"] is True
    deck.cards["deck2_card1"] = ["a", "b", "g"]
    strict = PARAMS.model_copy(update={"fail_on": ("warning",), "box_side": (0.4, 0.6)})
    with pytest.raises(ValidationError, match="84 findings"):
        deck.validate(strict)


def test_the_mathematics_of_the_deck_can_be_switched_off(deck: Deck) -> None:
    deck.cards = {photo: ["bolt"[number % 4]] for number, photo in enumerate(deck.cards)}
    with pytest.raises(ValidationError, match=r"set validate\.deck to none"):
        deck.validate()
    assert deck.validate(PARAMS.model_copy(update={"deck": "none"})).flagged == 0


def test_links_need_ids_of_labelbox(deck: Deck) -> None:
    deck.cards["deck0_card0"] = ["e", "f"]
    with pytest.raises(ValidationError):
        deck.validate()
    export = deck.folder / "data" / "export.ndjson"
    export.write_text(export.read_text().replace(PROJECT, "sample-deck"))
    with pytest.raises(ValidationError):
        validate(deck.folder / "voc", deck.folder / "splits", deck.folder / "data", deck.out, PARAMS, SPLIT)
    assert [row["link"] for row in deck.findings()] == [""]


def test_deepchecks_adds_its_report_and_numbers(deck: Deck) -> None:
    deck.validate(PARAMS.model_copy(update={"deepchecks": True, "fail_on": ()}))
    assert (deck.out / "deepchecks.html").stat().st_size > 1000
    assert set(deck.metrics()["deepchecks"]) == {"outlier_share", "image_drift", "label_drift", "not_run"}


def test_two_runs_write_the_same_findings_and_metrics(deck: Deck) -> None:
    deck.cards["deck1_card3"] = ["a", "c", "d"]
    found = []
    for _ in range(2):
        with pytest.raises(ValidationError):
            deck.validate()
        found.append(
            [
                (deck.out / name).read_bytes()
                for name in ("findings.csv", "metrics.json", "sheets/sheet01.jpg")
            ]
        )
    assert found[0] == found[1]


def test_a_stage_that_has_not_run_is_named(deck: Deck) -> None:
    with pytest.raises(MissingInputError, match=r"labels\.txt does not exist"):
        validate(deck.folder / "voc", deck.folder / "splits", deck.folder / "data", deck.out, PARAMS, SPLIT)
    assert not deck.out.exists()
