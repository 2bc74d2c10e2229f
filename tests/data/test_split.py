"""Splits that never tear a deck or a card apart."""

import json
import subprocess
import sys
from collections import Counter
from itertools import product

import pytest

from dobble.data.assignment import SPLITS, assign_groups
from dobble.data.split import find_group, split
from dobble.data.voc import VocObject, VocPhoto, read_image_set, write_annotation
from dobble.errors import AnnotationError, MissingInputError, SplitError
from dobble.params import SplitParams, SplitRatios

RATIOS = {"train": 0.8, "val": 0.1, "test": 0.1}


def params(group_by="deck", pattern=r"deck(?P<deck>\d+)_card(?P<card>\d+)", seed=0, **ratios):
    return SplitParams(
        group_by=group_by, group_pattern=pattern, ratios=SplitRatios(**(ratios or RATIOS)), seed=seed
    )


def deck(order=7):
    """The cards of a projective plane of prime order: sets of symbols, any two sharing one."""
    field = range(order)
    cards = [[f"s{order * order + x}" for x in field] + [f"s{order * order + order}"]]
    cards += [[f"s{x * order + y}" for y in field] + [f"s{order * order + order}"] for x in field]
    for slope, start in product(field, field):
        line = [f"s{x * order + (slope * x + start) % order}" for x in field]
        cards.append([*line, f"s{order * order + slope}"])
    return cards


def photos_of(decks, order=7):
    """Ids and classes of photos of whole decks."""
    return {
        f"deck{number:02}_card{card:02}": frozenset(names)
        for number in range(decks)
        for card, names in enumerate(deck(order))
    }


def grouped(photos, by):
    return {photo: find_group(photo, params(by)) for photo in photos}


def sizes(groups, assigned):
    found = Counter(assigned[group] for group in groups.values())
    return [found[name] for name in SPLITS]


def write_voc(folder, photos):
    (folder / "Annotations").mkdir(parents=True)
    for photo, names in photos.items():
        objects = tuple(VocObject(name, 1, 1, 9, 9) for name in sorted(names))
        write_annotation(folder / "Annotations" / f"{photo}.xml", VocPhoto(f"{photo}.jpg", 40, 30, objects))
    return folder


def test_photos_without_symbols_are_shared_out_with_their_group_or_train(tmp_path):
    photos = photos_of(3, order=2) | {
        "deck00_card99": frozenset(),
        "deck07_card00": frozenset(),
        "empty table": frozenset(),
    }
    summary = split(write_voc(tmp_path / "voc", photos), tmp_path / "splits", params())
    of = {photo: name for name in SPLITS for photo in read_image_set(tmp_path / "splits" / f"{name}.txt")}
    assert set(of) == set(photos)
    assert of["deck00_card99"] == of["deck00_card00"]
    assert (of["deck07_card00"], of["empty table"]) == ("train", "train")
    assert sum(summary.photos.values()) == len(photos)


@pytest.mark.parametrize("by", ["deck", "card"])
def test_groups_whose_names_look_alike_are_told_or_merged(tmp_path, by):
    photos = photos_of(4, order=2)
    twin = {"deck": "deck1_card01", "card": "deck03_card1"}[by]
    photos[twin] = photos["deck01_card01"]
    voc = write_voc(tmp_path / "voc", photos)
    with pytest.raises(
        SplitError, match=rf"names of {by}s look alike \('01' and '1'\).*similar_groups to merge"
    ):
        split(voc, tmp_path / "splits", params(by))
    merged = params(by).model_copy(update={"similar_groups": "merge"})
    split(voc, tmp_path / "splits", merged)
    groups = json.loads((tmp_path / "splits" / "splits.json").read_text())["groups"]
    assert groups[twin] == groups["deck01_card01"] == "01"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("by", "decks", "expected"),
    [("deck", 10, [8, 1, 1]), ("deck", 3, [1, 1, 1]), ("card", 2, [45, 6, 6]), ("deck", 30, [24, 3, 3])],
)
def test_equal_groups_are_shared_out_as_asked(seed, by, decks, expected):
    photos = photos_of(decks)
    groups = grouped(photos, by)
    assigned = assign_groups(groups, photos, RATIOS, seed)
    counts = Counter(assigned.values())
    assert [counts[name] for name in SPLITS] == expected


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("by", ["deck", "card"])
def test_every_class_is_in_train(seed, by):
    photos = photos_of(4, order=3)
    groups = grouped(photos, by)
    assigned = assign_groups(groups, photos, {"train": 0.4, "val": 0.3, "test": 0.3}, seed)
    learned = set().union(*(photos[photo] for photo in photos if assigned[groups[photo]] == "train"))
    assert learned == set().union(*photos.values())


@pytest.mark.parametrize("seed", range(10))
def test_group_that_alone_has_a_class_is_always_in_train(seed):
    groups = {f"{group}{n}": group for group in "abcdef" for n in range(3)}
    classes = {photo: frozenset({"tree", "rare"} if photo[0] == "c" else {"tree"}) for photo in groups}
    assigned = assign_groups(groups, classes, {"train": 0.2, "val": 0.4, "test": 0.4}, seed)
    assert assigned["c"] == "train"
    assert sizes(groups, assigned) == [3, 6, 9] or sizes(groups, assigned) == [3, 9, 6]


@pytest.mark.parametrize(
    ("group_sizes", "ratios", "expected"),
    [
        ([50, 30, 10, 10], (0.8, 0.1, 0.1), [80, 10, 10]),
        ([70, 20, 10], (0.7, 0.1, 0.2), [70, 10, 20]),
        ([7, 5, 4, 3, 1], (0.6, 0.2, 0.2), [12, 4, 4]),
        ([40, 40, 9, 8, 2, 1], (0.8, 0.1, 0.1), [80, 10, 10]),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_unequal_groups_come_as_near_as_they_can(group_sizes, ratios, expected, seed):
    groups = {f"{group}-{n}": str(group) for group, size in enumerate(group_sizes) for n in range(size)}
    classes = dict.fromkeys(groups, frozenset({"tree"}))
    assigned = assign_groups(groups, classes, dict(zip(SPLITS, ratios, strict=True)), seed)
    assert sizes(groups, assigned) == expected


def test_seed_decides_and_order_does_not():
    photos = photos_of(10, order=3)
    groups = grouped(photos, "deck")
    first = assign_groups(groups, photos, RATIOS, 0)
    backwards = dict(reversed(groups.items()))
    assert assign_groups(backwards, photos, RATIOS, 0) == first
    assert any(assign_groups(groups, photos, RATIOS, seed) != first for seed in range(1, 6))


HASHED = """
from dobble.data.assignment import assign_groups
groups = {f"{g}{n}": g for g in "abcdefgh" for n in range(4)}
classes = {photo: {"x" + photo[1], "z"} for photo in groups}
print(assign_groups(groups, classes, {"train": 0.6, "val": 0.2, "test": 0.2}, 3))
"""


def test_split_does_not_depend_on_how_python_hashes():
    outputs = {
        subprocess.run(
            [sys.executable, "-c", HASHED],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1


def test_files_list_each_photo_once_and_no_group_twice(tmp_path):
    photos = photos_of(10, order=2)
    summary = split(write_voc(tmp_path / "voc", photos), tmp_path / "splits", params())
    listed = {name: read_image_set(tmp_path / "splits" / f"{name}.txt") for name in SPLITS}
    assert sorted(photo for found in listed.values() for photo in found) == sorted(photos)
    assert all(found == sorted(found) for found in listed.values())
    decks = {name: {photo[:6] for photo in found} for name, found in listed.items()}
    assert [len(decks[name]) for name in SPLITS] == [8, 1, 1]
    assert len(set.union(*decks.values())) == 10
    assert summary.photos == {"train": 56, "val": 7, "test": 7}
    assert summary.groups == {"train": 8, "val": 1, "test": 1}
    assert summary.deviation == {"train": 0, "val": 0, "test": 0}
    report = json.loads((tmp_path / "splits" / "splits.json").read_text())
    assert report["group_by"] == "deck"
    assert report["groups"]["deck03_card05"] == "03"
    assert report["photos"] == summary.photos
    # On a plane of order 2 each of 7 symbols stands on 3 cards.
    assert report["counts"]["train"] == {f"s{n}": 24 for n in range(7)}
    assert report["counts"]["test"] == {f"s{n}": 3 for n in range(7)}


def test_deviation_says_by_how_many_photos_a_share_is_missed(tmp_path):
    photos = photos_of(1)
    summary = split(write_voc(tmp_path / "voc", photos), tmp_path / "splits", params("card"))
    assert summary.deviation == {"train": -0.6, "val": 0.3, "test": 0.3}


def test_second_split_gives_the_same_bytes(tmp_path):
    voc = write_voc(tmp_path / "voc", photos_of(4, order=2))
    contents = []
    for _ in range(2):
        split(voc, tmp_path / "splits", params())
        contents.append({path.name: path.read_bytes() for path in (tmp_path / "splits").iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"train.txt", "val.txt", "test.txt", "splits.json"}


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        (photos_of(2, order=2), "split.group_by finds 2 groups (00, 01); train, val and test need one each"),
        (photos_of(1, order=2), "split.group_by finds 1 groups (00)"),
        ({**photos_of(3, order=2), "holiday": {"s1"}}, "photo holiday: split.group_pattern"),
        (
            {**photos_of(3, order=2), "deck09_card99": {"s1", "ancor"}},
            "class 'ancor' stands on one photo only (deck09_card99)",
        ),
        (
            {f"deck{n}_card{card}": {f"class {n}"} for n in range(4) for card in range(2)},
            "no two groups can leave train without taking a class along (in two groups at most: class 0, cl",
        ),
    ],
    ids=["two groups", "one group", "no match", "one photo", "a class in each group"],
)
def test_photos_that_cannot_be_split_are_refused_with_the_cure(tmp_path, photos, message):
    with pytest.raises(SplitError) as caught:
        split(write_voc(tmp_path / "voc", photos), tmp_path / "splits", params())
    assert message in str(caught.value)
    assert not (tmp_path / "splits").exists()


def test_pattern_that_matches_without_its_group_is_no_match():
    with pytest.raises(SplitError, match="finds no deck in its name"):
        find_group("card7", params(pattern=r"(deck(?P<deck>\d+)_)?card"))


def test_missing_annotations_are_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"Annotations does not exist: convert the data first"):
        split(tmp_path / "voc", tmp_path / "splits", params())


def test_damaged_annotation_is_named_and_earlier_splits_stay(tmp_path):
    voc = write_voc(tmp_path / "voc", photos_of(3, order=2))
    split(voc, tmp_path / "splits", params())
    before = (tmp_path / "splits" / "train.txt").read_bytes()
    (voc / "Annotations" / "deck01_card03.xml").write_text("<annotation>")
    with pytest.raises(AnnotationError, match=r"deck01_card03\.xml: is cut short"):
        split(voc, tmp_path / "splits", params())
    assert (tmp_path / "splits" / "train.txt").read_bytes() == before
