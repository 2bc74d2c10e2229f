import pytest
from measured_bundle import add_samples, benchmark

from jetson.bench.choice import read_choice
from jetson.play.bundle import load_bundle


@pytest.fixture
def bundle(write_bundle):
    """A bundle with two photos and a hand-made reference."""
    return add_samples(write_bundle())


def test_the_fastest_right_runtime_wins_and_every_other_way_to_end_is_told(bundle, tmp_path):
    done = benchmark(bundle, tmp_path, None, "--limit", "8")
    assert done.returncode == 0, done.stderr
    choice, reason = read_choice(str(tmp_path / "choice.json"), load_bundle(bundle))
    assert (choice.winner, choice.order, choice.quick) == ("fast", ["fast", "slow"], True)
    assert reason.startswith("fast needs ")
    assert reason.endswith(" less time than slow and is faster in 4 of 4 pairs of blocks")
    told = {candidate.name: candidate for candidate in choice.candidates}
    agrees = "agrees with the reference in 6 symbols and 1 matches (lowest IoU 1.000, scores within 0.000)"
    assert (told["fast"].eligible, told["fast"].reason) == (True, agrees)
    assert 2.0 <= told["fast"].p50_ms < told["slow"].p50_ms
    assert told["slow"].p50_ms >= 8.0
    assert told["fast"].frame_p50_ms > 2 * 2.0
    assert told["fast"].memory_mb > 10
    assert told["fast"].energy_mj is None  # a quick run is too short for it
    failures = {name: told[name].reason for name in told if not told[name].eligible}
    assert failures.pop("wrong").startswith("disagrees with the reference: bright.png: anchor not found and ")
    assert failures == {
        "crashing": "exit code -9: killed by SIGKILL (as a rule because memory ran out)",
        "failing": "exit code 1: ValueError: cuDNN failed to start",
        "hanging": "did not end within 8 s",
        "missing": "there is no GPU here: buy a board",
    }
    page = (tmp_path / "benchmark.html").read_text(encoding="utf-8")
    for text in list(failures.values()) + [agrees, reason]:
        assert text in page
        assert text in done.stdout or text == agrees
    assert "<script" not in page


def test_without_a_right_runtime_the_earlier_verdict_is_kept(bundle, tmp_path):
    (tmp_path / "choice.json").write_text("as it was")
    done = benchmark(bundle, tmp_path, ("wrong", "missing"))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: {}: no runtime may serve it here: wrong: disagrees with".format(bundle))
    assert last.endswith("; missing: there is no GPU here: buy a board")
    assert "Traceback" not in done.stderr
    assert (tmp_path / "choice.json").read_text() == "as it was"
    assert not (tmp_path / "benchmark.html").exists()


def test_a_bundle_without_samples_is_one_clear_line(write_bundle, tmp_path):
    done = benchmark(write_bundle(), tmp_path, ("fast",))
    assert done.returncode == 1
    assert "reference.json: cannot be read" in done.stderr.splitlines()[-1]
    assert "a benchmark needs a bundle with samples" in done.stderr.splitlines()[-1]


def test_two_benchmarks_never_measure_each_other(bundle, tmp_path):
    import fcntl

    with open(str(tmp_path / ".benchmark.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = benchmark(bundle, tmp_path, ("fast",))
    assert done.returncode == 1
    assert "another benchmark is at work here" in done.stderr


def test_a_version_must_be_known_before_anything_is_measured(bundle, tmp_path):
    done = benchmark(bundle, tmp_path, ("fast",), "--mlflow", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "which version on the MLflow server is this? name its --version"
    )
    assert "checking" not in done.stderr
