import numpy as np

from dobble.sample.tabletop import table_top


def test_table_tops_fill_the_photo_and_differ() -> None:
    tops = [table_top(70, 40, 15, 110, np.random.default_rng(seed)) for seed in range(12)]
    assert {(top.shape, top.dtype.name) for top in tops} == {((40, 70, 3), "uint8")}
    assert len({top.tobytes() for top in tops}) == 12


def test_dark_table_tops_are_darker_than_paper() -> None:
    means = [table_top(70, 40, 15, 110, np.random.default_rng(seed)).mean() for seed in range(30)]
    assert max(means) < 150
