import numpy as np
import pytest

from jetson.bench.verdict import Measured, beats, decide, lead, pooled, schedule

BOARDS = 300
FRAMES = 100
FRAME_MS = 40.0


def measured(*medians, **changes):
    """Blocks in which every inference takes the same time."""
    values = Measured([[median] * 10 for median in medians], 100.0)
    return values._replace(**changes)


def simulate(seed, gain, warms_up):
    """Return A and B, the latter faster by a share, on a board of their own.

    A frame's time scatters by 8 %, one in a hundred takes three times as long, and a board that warms up is
    slower by a quarter from some moment in the run on.
    """
    random = np.random.RandomState(seed)
    total = 2 * 4 * FRAMES
    hot_from = random.uniform(0.15, 1.0) * total if warms_up else total
    truth = {"A": FRAME_MS, "B": FRAME_MS * (1.0 - gain)}
    blocks, done = {"A": [], "B": []}, 0
    for name in [name for row in schedule(["A", "B"]) for name in row]:
        place = done + np.arange(FRAMES)
        times = truth[name] * random.lognormal(0.0, 0.08, FRAMES)
        times *= np.where(place >= hot_from, 1.25, 1.0) * np.where(
            random.random_sample(FRAMES) < 0.01, 3.0, 1.0
        )
        blocks[name].append(times.tolist())
        done += FRAMES
    return Measured(blocks["A"], 100.0), Measured(blocks["B"], 100.0)


def outcomes(gain, warms_up):
    """Count how often A, B or neither is called faster."""
    counts = {"A": 0, "B": 0, "tie": 0}
    for seed in range(BOARDS):
        first, second = simulate(seed, gain, warms_up)
        counts["B" if beats(second, first) else "A" if beats(first, second) else "tie"] += 1
    return counts


@pytest.mark.parametrize("warms_up", [False, True])
@pytest.mark.parametrize("gain", [0.05, 0.10])
def test_on_simulated_boards_the_faster_one_is_found_and_never_the_slower_one(gain, warms_up):
    counts = outcomes(gain, warms_up)
    assert counts["B"] >= 0.90 * BOARDS, counts
    assert counts["A"] <= 0.01 * BOARDS, counts


@pytest.mark.parametrize("warms_up", [False, True])
def test_on_simulated_boards_equals_are_called_equal(warms_up):
    counts = outcomes(0.0, warms_up)
    assert counts["tie"] >= 0.90 * BOARDS, counts
    assert counts["A"] + counts["B"] <= 0.01 * BOARDS, counts


def test_medians_of_all_blocks_together_would_call_winners_among_equals_on_boards_that_warm_up():
    """Why pairs decide: the other way fails the test above."""
    called, with_most_pairs = 0, 0
    for seed in range(BOARDS):
        first, second = sorted(simulate(seed, 0.0, warms_up=True), key=lambda one: pooled(one, 50))
        if 1.0 - pooled(first, 50) / pooled(second, 50) > 0.03:
            called += 1
            with_most_pairs += lead(first, second)[1] >= 3
    assert called > 0.40 * BOARDS, called
    assert with_most_pairs > 0.20 * BOARDS, with_most_pairs


def test_two_runtimes_take_turns_a_b_b_a():
    assert schedule(["A", "B"]) == [["A", "B"], ["B", "A"], ["B", "A"], ["A", "B"]]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_each_runtime_comes_once_a_round_and_as_early_as_late(count):
    names = list("ABCDE"[:count])
    rounds = schedule(names)
    assert len(rounds) == 4
    order = [name for row in rounds for name in row]
    for row in rounds:
        assert sorted(row) == names
    for name in names:  # the mean place is the middle of the run
        places = [place for place, other in enumerate(order) if other == name]
        assert np.mean(places) == (len(order) - 1) / 2.0


def test_the_lead_is_that_of_the_middle_pairs():
    # Ratios 0.5, 0.9, 0.8, 1.1: the middle two are 0.8 and 0.9.
    gain, won = lead(measured(20, 36, 32, 44), measured(40, 40, 40, 40))
    assert gain == pytest.approx(0.15)
    assert won == 3


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ((39, 39, 39, 39), False),  # 2.5 % in all four
        ((38, 38, 38, 38), True),  # 5 % in all four
        ((38, 38, 38, 41), True),  # in three of four
        ((30, 30, 41, 41), False),  # a lot, but in two only
    ],
)
def test_a_lead_of_three_percent_in_three_of_four_pairs_beats(blocks, expected):
    assert beats(measured(*blocks), measured(40, 40, 40, 40)) is expected


def test_the_fastest_wins_and_the_rest_follow_by_speed():
    verdict = decide(
        {
            "onnxruntime-cpu": measured(200, 200, 200, 200),
            "tensorrt-fp16": measured(20, 20, 20, 20),
            "onnxruntime-cuda": measured(40, 40, 40, 40),
        }
    )
    assert verdict.order == ["tensorrt-fp16", "onnxruntime-cuda", "onnxruntime-cpu"]
    reason = (
        "tensorrt-fp16 needs 50.0 % less time than onnxruntime-cuda and is faster in 4 of 4 pairs of blocks"
    )
    assert verdict.reason == reason


def test_among_equals_the_lower_p90_decides():
    steady, jumpy = measured(40, 40, 40, 40), Measured([[40.0] * 8 + [50.0, 50.0]] * 4, 100.0)
    verdict = decide({"tensorrt-fp16": jumpy, "onnxruntime-cuda": steady})
    assert verdict.order == ["onnxruntime-cuda", "tensorrt-fp16"]
    assert verdict.reason.endswith("are equally fast (within 3 %); onnxruntime-cuda has the lower p90")


def test_then_the_lower_memory_decides():
    verdict = decide(
        {
            "tensorrt-fp16": measured(40, 40, 40, 40, memory_mb=1200.0),
            "onnxruntime-cuda": measured(40, 40, 40, 40, memory_mb=900.0),
        }
    )
    assert verdict.order[0] == "onnxruntime-cuda"
    assert verdict.reason.endswith("onnxruntime-cuda has the lower memory")


def test_then_the_fixed_order_decides():
    same = measured(40, 40, 40, 40)
    names = ("onnxruntime-cpu", "onnxruntime-cuda", "tensorrt-fp32", "tensorrt-fp16")
    verdict = decide({name: same for name in names})
    assert verdict.order == ["tensorrt-fp16", "tensorrt-fp32", "onnxruntime-cuda", "onnxruntime-cpu"]
    assert verdict.reason.endswith("tensorrt-fp16 comes first by the fixed order")


def test_an_earlier_choice_stays_unless_it_is_beaten_by_five_percent():
    earlier = measured(40, 40, 40, 40)
    little, much = measured(38.4, 38.4, 38.4, 38.4), measured(37, 37, 37, 37)  # 4 % and 7.5 %
    kept = decide({"onnxruntime-cuda": earlier, "tensorrt-fp16": little}, "onnxruntime-cuda")
    assert kept.order == ["onnxruntime-cuda", "tensorrt-fp16"]
    assert kept.reason == (
        "onnxruntime-cuda stays as chosen before: tensorrt-fp16 needs 4.0 % less time than onnxruntime-cuda "
        "and is faster in 4 of 4 pairs of blocks; a change needs more than 5 %"
    )
    changed = decide({"onnxruntime-cuda": earlier, "tensorrt-fp16": much}, "onnxruntime-cuda")
    assert changed.order == ["tensorrt-fp16", "onnxruntime-cuda"]


def test_an_earlier_choice_that_no_longer_runs_has_no_say():
    assert decide({"onnxruntime-cpu": measured(9, 9, 9, 9)}, "tensorrt-fp16").order == ["onnxruntime-cpu"]
