from pathlib import Path

import cv2
import numpy as np

from dobble.data.voc import VocObject, VocPhoto
from dobble.validation.contact_sheet import TILE, group_findings, write_sheets
from dobble.validation.findings import Finding

RED = (30, 30, 200)  # BGR


def make(folder: Path, *names: str) -> dict[str, VocPhoto]:
    photos = {}
    for name in names:
        cv2.imwrite(str(folder / f"{name}.png"), np.full((120, 240, 3), 128, np.uint8))
        boxes = (VocObject("sun", 21, 21, 80, 80), VocObject("moon", 121, 21, 180, 80))
        photos[name] = VocPhoto(f"{name}.png", 240, 120, boxes)
    return photos


def finding(photo: str, *labels: str, other: str = "") -> Finding:
    return Finding(photo, "error", "deck wrong", "*sun* is probably *moon*", "label it anew", labels, other)


def test_clean_photos_make_no_sheet(tmp_path: Path) -> None:
    assert write_sheets(tmp_path, group_findings([finding("")], {}, tmp_path)) == []
    assert "No photo is flagged." in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_only_flagged_photos_are_shown_nine_a_page(tmp_path: Path) -> None:
    photos = make(tmp_path, *(f"photo{number}" for number in range(12)))
    found = [finding(f"photo{number}") for number in range(10)] + [finding("photo3")]
    flagged = group_findings(found, photos, tmp_path)
    assert [entry.photo.photo_id for entry in flagged] == [f"photo{number}" for number in range(10)]
    assert len(flagged[3].findings) == 2
    first, second = write_sheets(tmp_path, flagged)
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert [name in index for name in ("sheet01.jpg", "sheet02.jpg", "flagged.")] == [True, True, False]
    assert (first.name, second.name) == ("sheet01.jpg", "sheet02.jpg")
    large, small = (cv2.imread(str(page)).shape for page in (first, second))
    assert large[0] > 3 * TILE
    assert small[0] < 2 * TILE


def test_beyond_450_photos_the_rest_are_counted_and_not_drawn(tmp_path: Path) -> None:
    photos = make(tmp_path, "photo")
    (one,) = group_findings([finding("photo")], photos, tmp_path)
    assert len(write_sheets(tmp_path, [one] * 1000)) == 50
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert index.count("<img") == 50
    assert "550 more flagged photos are in findings.csv" in index


def test_the_box_in_doubt_is_red_and_the_others_are_not(tmp_path: Path) -> None:
    photos = make(tmp_path, "photo")
    (page,) = write_sheets(tmp_path, group_findings([finding("photo", "sun")], photos, tmp_path))
    image = cv2.imread(str(page)).astype(int)
    red = np.abs(image - RED).sum(2) < 90
    # the photo is shown twice as large, 20 pixels from the edge: sun spans 40 to 160, moon 240 to 360
    assert red[20:260, 20 + 36 : 20 + 46].sum() > 100
    assert not red[20:260, 20 + 200 : 20 + 400].any()
    assert red[20 + TILE :].any()  # what is wrong, written below


def test_a_photo_to_compare_with_stands_beside(tmp_path: Path) -> None:
    photos = make(tmp_path, "photo", "model")
    (flagged,) = group_findings([finding("photo", other="model")], photos, tmp_path)
    assert flagged.beside == tmp_path / "model.png"
    (page,) = write_sheets(tmp_path, [flagged])
    picture = cv2.imread(str(page))[20:135, 20 + TILE // 2 + 4 : 20 + TILE]
    assert abs(float(picture.mean()) - 128) < 3
