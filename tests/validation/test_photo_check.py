import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from validate_limits import limits

from dobble.data.annotations import LabelledBox
from dobble.data.voc import VocObject, VocPhoto
from dobble.errors import MissingInputError, PhotoError
from dobble.validation.duplicates import HASH_BITS, near_duplicates
from dobble.validation.findings import Finding
from dobble.validation.photo_check import (
    Picture,
    check_boxes,
    check_pictures,
    read_picture,
    without_doubles,
)

LIMITS = limits(box_side=(0.05, 0.6), max_box_aspect=5.0)


def photo(*boxes: tuple[str, int, int, int, int]) -> VocPhoto:
    return VocPhoto("card.jpg", 400, 300, tuple(VocObject(*box) for box in boxes))


def scene(seed: int, side: int = 480) -> NDArray[np.uint8]:
    """A card with symbols on a table, other ones for each seed."""
    chance = np.random.default_rng(seed)
    pixels = np.full((side, side, 3), chance.integers(40, 160, 3), np.uint8)
    cv2.circle(pixels, (side // 2, side // 2), side * 2 // 5, (235, 235, 235), -1)
    for left, top in chance.integers(side // 4, side * 5 // 8, (8, 2)).tolist():
        colour = chance.integers(0, 200, 3).tolist()
        cv2.rectangle(pixels, (left, top), (left + side // 9, top + side // 8), colour, -1)
    return pixels


def measured(tmp_path: Path, **images: NDArray[np.uint8]) -> dict[str, Picture]:
    found = {}
    for name, image in images.items():
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), image)
        found[name] = read_picture(tmp_path / f"{name}.jpg", image.shape[1::-1])
    return found


def hashes(pictures: dict[str, Picture]) -> dict[str, NDArray[np.bool_]]:
    return {name: picture.hash for name, picture in pictures.items()}


def checks(found: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.photo, finding.check) for finding in found]


@pytest.mark.parametrize(
    ("box", "finding"),
    [
        (("sun", 10, 10, 60, 60), None),
        (
            ("sun", 10, 10, 25, 25),
            "the box of *sun* is tiny (16 x 16 pixels: its longer side is 4.0% of the photo)",
        ),
        (
            ("sun", 1, 1, 280, 200),
            "the box of *sun* is huge (280 x 200 pixels: its longer side is 70% of the photo)",
        ),
        (
            ("sun", 1, 1, 120, 20),
            "the box of *sun* is flat (120 x 20 pixels: one side is 6.0 times the other)",
        ),
    ],
)
def test_odd_boxes_are_named_with_their_size(
    box: tuple[str, int, int, int, int], finding: str | None
) -> None:
    found = check_boxes(photo(box), (), LIMITS)
    assert [entry.finding for entry in found] == ([finding] if finding else [])
    assert all(entry.severity == "warning" and entry.labels == ("sun",) for entry in found)


def test_two_boxes_at_one_place_are_an_error() -> None:
    # 100 x 100 and 100 x 95 inside it: they overlap by 0.95
    doubled = photo(("sun", 1, 1, 100, 100), ("sun", 1, 1, 100, 95), ("moon", 201, 1, 300, 100))
    (found,) = check_boxes(doubled, (), LIMITS)
    assert (found.severity, found.finding) == ("error", "*sun* is boxed twice at one place")
    assert without_doubles(doubled, 0.8) == ["sun", "moon"]
    mixed = photo(("sun", 1, 1, 100, 100), ("moon", 1, 1, 100, 95))
    (found,) = check_boxes(mixed, (), LIMITS)
    assert found.finding == "*sun* and *moon* are boxed at one place"
    assert without_doubles(mixed, 0.8) == ["sun", "moon"]
    apart = photo(("sun", 1, 1, 100, 100), ("sun", 1, 1, 100, 79))
    assert check_boxes(apart, (), LIMITS) == []


def test_a_box_drawn_far_over_the_border_is_told_from_the_export() -> None:
    inside = photo(("sun", 1, 1, 80, 100))
    drawn = [LabelledBox("sun", -20, 0, 100, 100)]
    assert [entry.finding for entry in check_boxes(inside, drawn, LIMITS)] == [
        "20% of the box of *sun* is outside the photo"
    ]
    assert check_boxes(inside, [LabelledBox("sun", -5, 0, 100, 100)], LIMITS) == []


def test_dark_bright_and_blurred_photos_are_found(tmp_path: Path) -> None:
    good = scene(0)
    pictures = measured(
        tmp_path,
        good=good,
        dark=(good * 0.1).astype(np.uint8),
        bright=np.maximum(good, 244),
        blurred=cv2.GaussianBlur(good, (0, 0), 12),
    )
    found = check_pictures(pictures, LIMITS)
    assert ("dark", "picture dark") in checks(found)
    assert ("bright", "picture bright") in checks(found)
    assert ("blurred", "picture blurred") in checks(found)
    assert not any(entry.photo == "good" for entry in found)


def test_sharpness_does_not_depend_on_the_camera(tmp_path: Path) -> None:
    large, small = measured(tmp_path, large=scene(1, 1920), small=scene(1, 480)).values()
    # measured on all its pixels, the large photo would have about a sixteenth
    assert small.sharpness / 4 < large.sharpness < 4 * small.sharpness
    assert large.thumbnail.shape == (96, 96, 3)


def test_one_photo_of_another_size_or_shape_is_odd_but_a_second_camera_is_not() -> None:
    def picture(width: int, height: int) -> Picture:
        return Picture((width, height), 128, 100, np.zeros(256, np.bool_), np.zeros((9, 9, 3), np.uint8))

    usual = {f"photo{number}": picture(640, 480) for number in range(19)} | {"turned": picture(480, 640)}
    assert check_pictures(usual, LIMITS) == []
    odd = usual | {"cropped": picture(640, 300), "thumb": picture(160, 120)}
    assert checks(check_pictures(odd, LIMITS)) == [("cropped", "picture size"), ("thumb", "picture size")]
    second = usual | {f"second{number}": picture(1920, 1080) for number in range(10)}
    assert check_pictures(second, LIMITS) == []


def test_a_copy_in_another_split_is_found_however_it_was_saved(tmp_path: Path) -> None:
    original = scene(2)
    copies = {
        "exact": original,
        "scaled": cv2.resize(original, (300, 300), interpolation=cv2.INTER_AREA),
        "brighter": np.clip(original * 1.1 + 8, 0, 255).astype(np.uint8),
        "cropped": original[4:-4, 4:-4],
    }
    pictures = measured(tmp_path, original=original, **copies)
    split_of = dict.fromkeys(copies, "test") | {"original": "train"}
    found = near_duplicates(hashes(pictures), split_of, LIMITS.max_hash_distance)
    assert {entry.photo for entry in found} == set(copies)
    assert all(entry.other == "original" and entry.severity == "error" for entry in found)
    assert near_duplicates(hashes(pictures), dict.fromkeys(pictures, "train"), LIMITS.max_hash_distance) == []


def test_different_photos_are_no_duplicates(tmp_path: Path) -> None:
    pictures = measured(tmp_path, **{f"photo{seed}": scene(seed) for seed in range(30)})
    split_of = {name: ("train", "test")[number % 2] for number, name in enumerate(pictures)}
    assert near_duplicates(hashes(pictures), split_of, LIMITS.max_hash_distance) == []


def random_hashes(number: int) -> dict[str, NDArray[np.bool_]]:
    bits = np.random.default_rng(0).random((number, HASH_BITS)) < 0.5
    return {f"photo{index:05d}": row for index, row in enumerate(bits)}


def flipped(known: NDArray[np.bool_], number: int) -> NDArray[np.bool_]:
    return known ^ (np.random.default_rng(number).permutation(HASH_BITS) < number)


def test_copy_that_differs_in_18_bits_is_found_for_certain_among_thousands() -> None:
    known = random_hashes(3000)
    originals = list(known)[:100]
    known |= {f"{photo}-copy": flipped(known[photo], 18) for photo in originals}
    split_of = {photo: "test" if photo.endswith("copy") else "train" for photo in known}
    found = near_duplicates(known, split_of, 28)
    assert {(entry.photo, entry.other) for entry in found} == {(f"{one}-copy", one) for one in originals}


def test_each_photo_of_a_crowd_that_is_all_alike_has_one_finding_at_most() -> None:
    (one,) = random_hashes(1).values()
    crowd = {f"photo{number:04d}": flipped(one, number % 3) for number in range(4000)}
    split_of = {photo: ("train", "train", "test")[number % 3] for number, photo in enumerate(crowd)}
    found = near_duplicates(crowd, split_of, 28)
    flagged = {entry.photo for entry in found} | {entry.other for entry in found}
    assert all(split_of[entry.photo] != split_of[entry.other] for entry in found)
    assert {photo for photo in crowd if split_of[photo] == "test"} <= flagged
    assert len(found) <= len(crowd)


def test_a_hundred_thousand_photos_are_compared_with_few_others_each() -> None:
    """All pairs would be five billion: minutes of computing, not seconds."""
    known = random_hashes(100_000)
    split_of = {photo: ("train", "test")[number % 2] for number, photo in enumerate(known)}
    begun = time.process_time()
    assert near_duplicates(known, split_of, 28) == []
    assert time.process_time() - begun < 120


def test_a_photo_that_is_gone_or_no_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"gone\.jpg does not exist"):
        read_picture(tmp_path / "gone.jpg", (10, 10))
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(PhotoError, match=r"empty\.jpg: is no picture"):
        read_picture(tmp_path / "empty.jpg", (10, 10))
