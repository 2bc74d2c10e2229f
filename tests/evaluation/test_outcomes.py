from dataclasses import replace

import numpy as np
import pytest

from dobble.errors import MissingInputError
from dobble.evaluation.outcomes import Outcomes, read_outcomes, write_outcomes

OUTCOMES = Outcomes(
    photos=("deck08_card00", "deck08, card 01", "deck09_card00"),
    cards=np.array([0, 1, 0]),
    right=np.array([8, 7, 0]),
    wrong=np.array([0, 1, 2]),
    overlap=np.array([7.25, 6.5, 0]),
    pairs=np.array([[0, 1], [1, 2]]),
    won={"simple": np.array([True, False]), "joint": np.array([True, True])},
)


def test_outcomes_are_read_as_they_were_written(tmp_path):
    write_outcomes(tmp_path / "outcomes", OUTCOMES)
    read = read_outcomes(tmp_path / "outcomes")
    assert read.photos == OUTCOMES.photos
    for name in ("cards", "right", "wrong", "overlap", "pairs"):
        np.testing.assert_array_equal(getattr(read, name), getattr(OUTCOMES, name))
    assert {rule: won.tolist() for rule, won in read.won.items()} == {
        "simple": [True, False],
        "joint": [True, True],
    }


def test_tables_can_be_read_by_people(tmp_path):
    write_outcomes(tmp_path / "outcomes", OUTCOMES)
    assert (tmp_path / "outcomes/pairs.csv").read_text() == "first,second,simple,joint\n0,1,1,1\n1,2,0,1\n"
    assert (tmp_path / "outcomes/photos.csv").read_text().splitlines()[:2] == [
        "photo,card,right,wrong,overlap",
        "deck08_card00,0,8,0,7.25",
    ]


def test_photos_without_pairs_are_read_as_well(tmp_path):
    alone = replace(OUTCOMES, pairs=np.zeros((0, 2), np.int64), won={"simple": np.zeros(0, bool)})
    write_outcomes(tmp_path / "outcomes", alone)
    read = read_outcomes(tmp_path / "outcomes")
    assert read.pairs.shape == (0, 2)
    assert len(read.photos) == 3


def test_missing_table_is_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"photos\.csv does not exist: run `dvc repro`"):
        read_outcomes(tmp_path)
