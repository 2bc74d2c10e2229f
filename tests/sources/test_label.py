"""Photos whose card is known to boxes, one place for each symbol."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from pipelines import ROOT, Pipeline, write_known_cards
from typer.testing import CliRunner

from dobble.cli.main import app
from dobble.data.annotations import read_rows
from dobble.data.convert import convert
from dobble.data.voc import read_annotation
from dobble.errors import AnswersError
from dobble.evaluation.answers import KnownPhoto, read_answers
from dobble.params import load_params
from dobble.sources.import_export import import_export
from dobble.sources.label import label_photos, place_symbols

pytest_plugins = ["pipeline_fixtures"]

LEFT, RIGHT = [0, 0, 10, 10], [20, 0, 30, 10]


def test_a_symbol_gives_its_place_to_one_that_has_no_other() -> None:
    # Alone, both would lie left; together .901 * .301 is more than .801 * .051 (with the floor of .001).
    scores = np.array([[0.05, 0.9, 0.8], [0.5, 0.05, 0.3], [0.3, 0.6, 0.79]])
    boxes = np.array([LEFT, RIGHT, [1, 0, 11, 10]], np.float32)
    placed = place_symbols(scores, boxes, [0, 1])
    assert placed.boxes.tolist() == [LEFT, RIGHT]
    # Brought to sums of one, two by two entries a b, c d have sqrt(ad) : sqrt(bc) on and off the diagonal.
    on, off = np.sqrt(0.901 * 0.301), np.sqrt(0.801 * 0.051)
    np.testing.assert_allclose(placed.sureness, on / (on + off) * np.array([0.95, 0.5]), rtol=1e-6)


def test_a_symbol_s_box_is_the_one_that_shows_it_best_at_its_place() -> None:
    scores = np.array([[0.05, 0.9, 0.0], [0.1, 0.2, 0.7], [0.02, 0.97, 0.0]])
    boxes = np.array([LEFT, RIGHT, [1, 0, 11, 10]], np.float32)
    assert place_symbols(scores, boxes, [1, 0]).boxes.tolist() == [RIGHT, [1, 0, 11, 10]]


def test_two_symbols_that_may_as_well_lie_the_other_way_round_are_unsure() -> None:
    scores = np.array([[0.0, 0.5, 0.5], [0.0, 0.5, 0.5]])
    placed = place_symbols(scores, np.array([LEFT, RIGHT], np.float32), [0, 1])
    np.testing.assert_allclose(placed.sureness, [0.5, 0.5])


@pytest.fixture(scope="module")
def folder(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seven cards of a session with what is on each."""
    made = tmp_path_factory.mktemp("label")
    write_known_cards(made, pipeline, "deck01")
    return made


def test_placed_photos_can_be_imported_and_every_symbol_has_a_box_within_the_photo(
    pipeline: Pipeline, folder: Path, tmp_path: Path
) -> None:
    photos = read_answers(folder).photos
    done = label_photos(folder, photos, pipeline.bundle, tmp_path / "labels.ndjson", min_sureness=0)
    assert (done.sure, done.unsure) == (7, ())
    imported = import_export(tmp_path / "labels.ndjson", folder, tmp_path / "data")
    assert (imported.photos, imported.boxes) == (7, 21)
    for (_, row), photo in zip(read_rows(tmp_path / "data/export.ndjson"), photos, strict=True):
        (project,) = row["projects"].values()
        drawn = project["labels"][0]["annotations"]["objects"]
        assert {one["name"] for one in drawn} == photo.symbols
        for one in drawn:
            box = one["bounding_box"]
            assert 0 <= box["left"] < box["left"] + box["width"] <= row["media_attributes"]["width"]
            assert 0 <= box["top"] < box["top"] + box["height"] <= row["media_attributes"]["height"]


@pytest.mark.parametrize("orientation", [3, 6])
def test_boxes_of_a_photo_that_exif_turns_lie_upright_where_they_lie_on_the_photo_as_it_is_stored_upright(
    pipeline: Pipeline, folder: Path, tmp_path: Path, orientation: int
) -> None:
    photo = read_answers(folder).photos[0]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}[orientation]
    placed = {}
    for kind, picture in (
        ("upright", Image.open(photo.path)),
        ("turned", Image.open(photo.path).transpose(back)),
    ):
        path = tmp_path / kind / "deck01_card01.png"
        path.parent.mkdir()
        picture.save(path, exif=exif if kind == "turned" else None)
        one = KnownPhoto(path, "deck01", photo.symbols)
        label_photos(path.parent, [one], pipeline.bundle, tmp_path / f"{kind}.ndjson", min_sureness=0)
        import_export(tmp_path / f"{kind}.ndjson", path.parent, tmp_path / kind / "data")
        convert(tmp_path / kind / "data", tmp_path / kind / "voc", load_params(ROOT / "params.yaml").convert)
        placed[kind] = read_annotation(tmp_path / kind / "voc/Annotations/deck01_card01.xml")
    assert placed["turned"].names == placed["upright"].names
    np.testing.assert_allclose(placed["turned"].boxes, placed["upright"].boxes, atol=1.01)


def test_photos_that_are_not_sure_are_listed_and_not_labelled(
    pipeline: Pipeline, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels.ndjson"
    command = ["label", str(folder), "--bundle", str(pipeline.bundle), "--out", str(out)]
    done = CliRunner().invoke(app, [*command, "--min-sureness", "1"])
    assert done.exit_code == 0, done.output
    assert out.read_text(encoding="utf-8") == ""
    listed = (tmp_path / "labels.unsure.txt").read_text(encoding="utf-8").splitlines()
    assert listed == [photo.path.name for photo in read_answers(folder).photos]
    assert f"{out}: 0 photos with boxes; 7 not sure" in done.stdout


def test_a_symbol_that_the_bundle_does_not_know_is_named(pipeline: Pipeline, tmp_path: Path) -> None:
    photo = KnownPhoto(tmp_path / "one.jpg", "one", frozenset({"yeti"}))
    with pytest.raises(AnswersError, match="'yeti', which is no symbol of the bundle"):
        label_photos(tmp_path, [photo], pipeline.bundle, tmp_path / "labels.ndjson", 0.5)
