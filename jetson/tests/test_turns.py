import os
import subprocess
import sys

from grey_server import ROOT, Served
from measured_bundle import add_samples, benchmark

from jetson.turns import take_turn


def test_the_benchmark_does_not_measure_while_the_server_plays(grey_bundle, write_bundle, tmp_path):
    folder = add_samples(write_bundle())
    served = Served(["--source", "none", "--bundle", grey_bundle], DOBBLE_DEVICE_HOME=str(tmp_path))
    try:
        done = benchmark(folder, tmp_path, ["fast"])
    finally:
        served.stop()
    assert done.returncode == 1
    assert done.stderr.startswith("error: benchmark: the server is at work here")
    assert "sudo systemctl stop dobble" in done.stderr


def test_the_server_does_not_start_while_the_benchmark_measures(grey_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("DOBBLE_DEVICE_HOME", str(tmp_path))
    with take_turn(shared=False) as mine:
        assert mine
        command = [sys.executable, "-m", "jetson", "serve", "--source", "none", "--port", "0"]
        done = subprocess.run(
            command + ["--bundle", grey_bundle],
            env=dict(os.environ, PYTHONPATH=ROOT),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            timeout=600,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "error: serve: a benchmark measures here: wait for it to end\n",
    )


def test_servers_may_play_side_by_side_and_where_no_lock_can_be_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("DOBBLE_DEVICE_HOME", str(tmp_path))
    with take_turn(shared=True) as first, take_turn(shared=True) as second, take_turn(shared=False) as third:
        assert (first, second, third) == (True, True, False)
    monkeypatch.setenv("DOBBLE_DEVICE_HOME", "/dev/full/home")
    with take_turn(shared=False) as mine:
        assert mine
