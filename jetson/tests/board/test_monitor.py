import copy
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time

import fake_jtop
import pytest

from jetson.__main__ import main
from jetson.board import monitor as module
from jetson.board.jtop_child import to_sample
from jetson.board.monitor import Monitor, energy
from jetson.board.sensors import Sample, Sensors

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(os.path.dirname(TESTS))


class Board:
    """What a jtop client offers, from recorded values."""

    def __init__(self, values, nvpmodel=None, jetson_clocks=None):
        self.__dict__.update(copy.deepcopy(values))
        self.nvpmodel, self.jetson_clocks = nvpmodel, jetson_clocks


@pytest.fixture
def files(tmp_path):
    """Return a function that writes a file below a root, and the root."""
    root = tmp_path / "root"
    root.mkdir()

    def write(path, content):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("{}\n".format(content))

    write.root = str(root)
    return write


@pytest.fixture
def jetpack4(files):
    """The files of a Nano on JetPack 4."""
    device = "sys/bus/i2c/devices/6-0040/iio:device0/"
    for number, (rail, milliwatts) in enumerate(
        [("POM_5V_IN", 2750), ("POM_5V_GPU", 300), ("POM_5V_CPU", 500)]
    ):
        files(device + "rail_name_{}".format(number), rail)
        files(device + "in_power{}_input".format(number), milliwatts)
    for number, (zone, temperature) in enumerate(
        [("CPU-therm", 41500), ("PMIC-Die", 100000), ("AO-therm", -256000)]
    ):
        files("sys/class/thermal/thermal_zone{}/type".format(number), zone)
        files("sys/class/thermal/thermal_zone{}/temp".format(number), temperature)
    gpu = "sys/class/devfreq/57000000.gpu/"
    for name, value in [("cur_freq", 460800000), ("max_freq", 921600000), ("device/load", 350)]:
        files(gpu + name, value)
    files("proc/meminfo", "MemTotal:  4096000 kB\nMemFree: 5 kB\nMemAvailable:  3072000 kB")
    files("proc/stat", "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3")
    files("var/lib/nvpmodel/status", "pmode:0001 fmode:quiet")
    files("etc/nvpmodel.conf", "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=5W >")
    return files


@pytest.fixture
def service(tmp_path, monkeypatch):
    """Return a function that says what jtop's service does at each start, and the file with its clients."""
    shutil.copy(os.path.join(TESTS, "fake_jtop.py"), str(tmp_path / "jtop.py"))
    pids = tmp_path / "pids"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("FAKE_JTOP_PIDS", str(pids))
    monkeypatch.setattr(module, "STALE", 0.5)

    def does(words):
        monkeypatch.setenv("FAKE_JTOP", words)

    does.clients = lambda: pids.read_text().split() if pids.exists() else []
    return does


def start(root, **options):
    return Monitor(**dict({"root": root, "interval": 0.05, "patience": 60.0, "back_off": (0.05,)}, **options))


def wait_for(condition, seconds=300):
    """Wait until something holds, and return whether it came to that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def ended(pid):
    try:
        with open("/proc/{}/stat".format(pid)) as stream:
            return stream.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_jtop_of_a_nano_is_read_in_our_units():
    sample = to_sample(Board(fake_jtop.NANO, nvpmodel=fake_jtop.Mode(), jetson_clocks=False))
    assert sample._replace(time=0.0) == Sample(
        time=0.0,
        power_mw=3100.0,
        temperatures={"CPU": 31.5, "GPU": 29.0},
        gpu_mhz=614.4,
        gpu_max_mhz=921.6,
        gpu_load=0.9,
        cpu_load=0.25,
        ram_used_mb=2048.0,
        ram_total_mb=4059192 / 1024.0,
        nvpmodel="MAXN",
        jetson_clocks=False,
    )


def test_jtop_of_an_orin_differs_in_names_only():
    sample = to_sample(Board(fake_jtop.ORIN))
    assert (sample.power_mw, sample.gpu_mhz, sample.gpu_max_mhz) == (5200.0, 306.0, 918.0)
    assert (sample.nvpmodel, sample.jetson_clocks) == (None, None)


@pytest.mark.parametrize(
    "power", [{}, {"rail": {}}, {"rail": {}, "tot": {"power": 0}}, {"tot": {"power": None}}, None]
)
def test_a_power_of_nothing_is_no_power(power):
    assert to_sample(Board(dict(fake_jtop.NANO, power=power))).power_mw is None


def test_what_jtop_lacks_does_not_spoil_the_rest():
    sample = to_sample(Board({"power": fake_jtop.NANO["power"], "temperature": {"AO": {"temp": -256}}}))
    assert sample._replace(time=0.0) == Sample(time=0.0, power_mw=3100.0)


def test_sensor_files_of_jetpack_4_are_read(jetpack4):
    sensors = Sensors(jetpack4.root)
    first = sensors.read()
    jetpack4("proc/stat", "cpu  130 0 100 760 110 0 0 0 0 0")  # 100 ticks on, 70 of them idle or waiting
    second = sensors.read()
    assert (first.cpu_load, second.cpu_load) == (None, pytest.approx(0.3))
    assert second._replace(time=0.0, cpu_load=None) == Sample(
        time=0.0,
        power_mw=2750.0,
        temperatures={"CPU": 41.5},
        gpu_mhz=pytest.approx(460.8),
        gpu_max_mhz=pytest.approx(921.6),
        gpu_load=pytest.approx(0.35),
        ram_used_mb=1000.0,
        ram_total_mb=4000.0,
        nvpmodel="5W",
    )


def test_sensor_files_from_jetpack_5_on_are_read(files):
    folder = "sys/bus/i2c/devices/1-0040/hwmon/hwmon4/"
    for number, (label, volt, ampere) in enumerate([("VDD_IN", 4984, 1040), ("VDD_SOC", 5000, 200)], 1):
        files(folder + "in{}_label".format(number), label)
        files(folder + "in{}_input".format(number), volt)
        files(folder + "curr{}_input".format(number), ampere)
    files("sys/class/thermal/thermal_zone0/type", "tj-thermal")
    files("sys/class/thermal/thermal_zone0/temp", "47312")
    sample = Sensors(files.root).read()
    assert sample.power_mw == pytest.approx(4984 * 1040 / 1000.0)
    assert sample.temperatures == {"tj": pytest.approx(47.312)}
    os.remove(os.path.join(files.root, folder, "curr1_input"))
    assert Sensors(files.root).read().power_mw is None


def test_a_machine_without_sensors_has_samples_of_nothing(files):
    assert Sensors(files.root).read()._replace(time=0.0) == Sample(time=0.0)


def test_jtop_is_the_source_when_its_service_answers(service, jetpack4):
    service("nano")
    with start(jetpack4.root) as monitor:
        assert wait_for(lambda: monitor.source == "jtop" and monitor.latest().jetson_clocks)
        assert (monitor.latest().power_mw, monitor.latest().nvpmodel, monitor.problem) == (
            3100.0,
            "MAXN",
            None,
        )
        since = monitor.latest().time
        assert wait_for(lambda: len(monitor.samples(since)) >= 2)
        times = [sample.time for sample in monitor.samples(float("-inf"))]
    assert times == sorted(set(times))
    assert monitor.samples(since)[0].time > since


def test_without_jtop_the_board_s_own_sensor_is_read(service, jetpack4):
    service("missing")
    with start(jetpack4.root) as monitor:
        assert wait_for(lambda: monitor.source == "ina3221" and monitor.problem is not None)
        assert monitor.problem == "jetson-stats is not installed"
        assert monitor.latest().power_mw == 2750.0
        time.sleep(0.3)
    assert len(service.clients()) == 1  # it is not tried again


def test_with_neither_there_are_no_samples_and_no_harm(service, files):
    service("missing")
    with start(files.root) as monitor:
        assert wait_for(lambda: monitor.problem is not None)
        assert (monitor.source, monitor.latest(), monitor.samples(0.0)) == ("none", None, [])


def test_a_service_that_hangs_at_the_start_is_left_and_tried_again(service, jetpack4):
    service("hang nano")
    with start(jetpack4.root, patience=6.0) as monitor:
        assert wait_for(lambda: monitor.source == "ina3221")
        assert wait_for(lambda: monitor.problem == "the jtop service did not answer within 6 s")
        assert wait_for(lambda: monitor.source == "jtop")
    assert len(service.clients()) >= 2
    assert all(ended(pid) for pid in service.clients())


def test_a_lost_connection_is_bridged_by_the_board_s_sensor_and_a_new_client(service, jetpack4):
    service("lost nano")
    with start(jetpack4.root, back_off=(5.0,)) as monitor:
        assert wait_for(lambda: monitor.source == "jtop")
        assert wait_for(lambda: monitor.source == "ina3221")
        assert monitor.problem == "Lost connection with jtop server"
        assert wait_for(lambda: monitor.source == "jtop")
    assert {sample.power_mw for sample in monitor.samples(0.0)} == {3100.0, 2750.0}


def test_answers_that_never_change_are_not_believed(service, jetpack4):
    service("frozen nano")
    with start(jetpack4.root) as monitor:
        assert wait_for(lambda: len(service.clients()) >= 2)
        assert wait_for(lambda: monitor.source == "jtop")
    old = [sample for sample in monitor.samples(0.0) if sample.ram_used_mb == 2048.0]
    assert len(old) == 1


def test_a_monitor_that_ends_takes_a_hanging_client_with_it(service, jetpack4):
    service("hang")
    with start(jetpack4.root, patience=60.0):
        assert wait_for(service.clients)
    assert ended(service.clients()[0])


def test_a_client_ends_when_its_parent_is_killed(service, jetpack4):
    service("hang")
    code = "import time; from jetson.board.monitor import Monitor; Monitor().__enter__(); time.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        assert wait_for(service.clients)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert wait_for(lambda: ended(service.clients()[0]))


def test_the_verb_prints_samples_as_lines_of_json(service):
    service("orin")
    command = [sys.executable, "-m", "jetson", "monitor", "--interval", "0.1", "--count"]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([ROOT, os.environ["PYTHONPATH"]]))
    few = subprocess.check_output(command + ["3"], cwd=ROOT, env=environment, universal_newlines=True)
    assert len([json.loads(line) for line in few.splitlines()]) == 3
    many = subprocess.Popen(
        command + ["100000"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, universal_newlines=True
    )
    with many:
        samples = (json.loads(line) for line in many.stdout)
        sample = next(sample for sample in samples if sample["source"] == "jtop")
        many.terminate()
    assert sample["power_mw"] == 5200.0
    assert set(Sample._fields) < set(sample)


def at(*points):
    return [Sample(time=moment, power_mw=power) for moment, power in points]


def test_energy_is_mean_power_by_time():
    steady = at(*[(moment, 2000.0) for moment in range(11)])
    assert energy(steady, 0.0, 10.0) == pytest.approx(20.0)
    assert energy(steady, 2.5, 7.5) == pytest.approx(10.0)
    # From 1 W to 5 W in 4 s: 3 W on average; from 1 s to 3 s the same.
    rising = at((0.0, 1000.0), (2.0, 3000.0), (4.0, 5000.0))
    assert energy(rising, 0.0, 4.0) == pytest.approx(12.0)
    assert energy(rising, 1.0, 3.0) == pytest.approx(6.0)


def test_samples_that_come_often_do_not_weigh_more():
    crowd = at((0.0, 1000.0), (2.0, 1000.0), (2.001, 4000.0), (2.5, 4000.0), (3.0, 4000.0), (4.0, 4000.0))
    assert energy(crowd, 0.0, 4.0) == pytest.approx(2.0 + 8.0, abs=0.01)


def test_energy_of_too_little_measured_time_is_none():
    assert energy([], 0.0, 10.0) is None
    assert energy(at((0.0, 1000.0), (1.9, 1000.0)), 0.0, 1.9) is None
    assert energy(at((0.0, 1000.0), (2.1, 1000.0)), 0.0, 2.1) == pytest.approx(2.1)
    # 3 s of 10 were measured; then 5 of 10, the gap of 5 s between them not.
    assert energy(at((0.0, 1000.0), (3.0, 1000.0)), 0.0, 10.0) is None
    gap = at((0.0, 1000.0), (2.5, 1000.0), (7.5, 3000.0), (10.0, 3000.0))
    assert energy(gap, 0.0, 10.0) == pytest.approx(20.0)
    assert energy([Sample(time=float(moment)) for moment in range(10)], 0.0, 9.0) is None
    assert not math.isnan(energy(gap + gap[-1:], 0.0, 10.0))


def test_the_verb_ends_quietly_when_its_reader_does(service):
    service("missing")
    shell = "{} -m jetson monitor --interval 0.1 | head -n 1; exit ${{PIPESTATUS[0]}}".format(sys.executable)
    done = subprocess.run(
        ["bash", "-c", shell],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["source"] in ("none", "ina3221")


def test_the_verb_refuses_an_interval_of_nothing(capsys):
    with pytest.raises(SystemExit):
        main(["monitor", "--interval", "0"])
    assert "'0' is not a number of seconds from 0.1 to 3600" in capsys.readouterr().err
