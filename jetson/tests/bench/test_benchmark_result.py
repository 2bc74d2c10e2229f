import pytest

from jetson.bench.result import frame_energy, throttled, to_block, to_sustained
from jetson.board.sensors import Sample

MEASURED = {
    "card_ms": [20.0],
    "frame_ms": [50.0],
    "prepare_ms": [1.0],
    "decode_ms": [2.0],
    "find_ms": [3.0],
    "card_window": [10.0, 13.0],
    "frame_window": [13.0, 16.0],
    "load_s": 4.0,
    "warm_up": 20,
    "steady": True,
    "memory_mb": 900.0,
}


def at(time, mhz):
    return Sample(time=time, gpu_mhz=mhz, gpu_max_mhz=921.6)


@pytest.mark.parametrize(
    ("clocks", "expected"),
    [
        ((921.6, 921.6), False),
        ((921.6, 880.0), False),
        ((921.6, 870.0, 921.6), True),
        ((None,), None),
        ((), None),
    ],
)
def test_a_clock_below_95_percent_of_the_highest_is_throttled(clocks, expected):
    assert throttled([at(number, mhz) for number, mhz in enumerate(clocks)]) is expected


def test_only_what_happened_during_a_block_counts_for_it():
    samples = [at(9.0, 76.8), at(10.5, 921.6), at(15.5, 921.6), at(16.5, 76.8)]
    block = to_block("tensorrt-fp16", 0, MEASURED, samples)
    assert block.throttled is False
    assert (block.before.time, block.after.time) == (10.5, 15.5)


def test_a_runtime_on_the_processor_leaves_the_gpu_s_clock_alone():
    assert to_block("onnxruntime-cpu", 0, MEASURED, [at(11.0, 76.8)]).throttled is None


def test_a_device_without_sensors_leaves_its_columns_empty():
    block = to_block("tensorrt-fp16", 0, MEASURED, [])
    assert (block.throttled, block.before, block.after) == (None, None, None)


def test_a_sustained_run_compares_its_first_with_its_last_seconds():
    # 15 s at 50 ms, then 45 s at 60 ms: ten seconds at either end.
    frame = [50.0] * 300 + [60.0] * 750
    sustained = to_sustained({"frame_ms": frame, "frame_window": [0.0, 60.0]})
    assert (sustained.first_p50, sustained.last_p50, sustained.span_s) == (50.0, 60.0, 10.0)


def test_a_short_run_compares_its_thirds():
    frame = [50.0] * 20 + [55.0] * 20 + [60.0] * 20
    sustained = to_sustained({"frame_ms": frame, "frame_window": [0.0, 3.0]})
    assert (sustained.first_p50, sustained.last_p50, sustained.span_s) == (50.0, 60.0, 1.0)


def test_energy_of_a_frame_is_the_board_s_power_times_the_frame_s_time():
    samples = [Sample(time=number / 2.0, power_mw=4000.0) for number in range(20, 36)]
    blocks = [to_block("tensorrt-fp16", 0, MEASURED, [])]  # 50 ms at 4 W, of which 1.5 W are idle
    assert frame_energy(blocks, samples, 1500.0) == (200.0, 125.0)
    assert frame_energy(blocks, samples, None) == (200.0, None)


def test_without_power_or_with_less_than_two_seconds_of_it_there_is_no_energy():
    blocks = [to_block("tensorrt-fp16", 0, MEASURED, [])]
    assert frame_energy(blocks, [], 1500.0) == (None, None)
    short = [Sample(time=13.0, power_mw=4000.0), Sample(time=14.0, power_mw=4000.0)]
    assert frame_energy(blocks, short, 1500.0) == (None, None)
