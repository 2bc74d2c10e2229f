"""The monitor on the real jtop service of an emulated Nano: opt-in, since it needs root and Linux namespaces.

    DOBBLE_REAL_JTOP=/path/to/python pytest jetson/tests/board/test_real_jtop.py

names an interpreter that has jetson-stats (4.3.2 or 7.2). The service writes to /run, wants a group and reads
/fake_sys, so it runs on an overlay of this system that is gone afterwards.
"""

import json
import os
import subprocess

import pytest

PYTHON = os.environ.get("DOBBLE_REAL_JTOP", "")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
GPU = "devices/57000000.gpu/"
NANO = {
    "bus/i2c/devices/6-0040/name": "ina3221x",
    GPU + "of_node/name": "gpu",
    GPU + "load": "900",
    GPU + "railgate_enable": "0",
    GPU + "enable_3d_scaling": "1",
    GPU + "tpc_pg_mask": "0",
    GPU + "devfreq/57000000.gpu/governor": "nvhost_podgov",
    GPU + "devfreq/57000000.gpu/cur_freq": "614400000",
    GPU + "devfreq/57000000.gpu/max_freq": "921600000",
    GPU + "devfreq/57000000.gpu/min_freq": "76800000",
    "stat": "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 100 0 100 700 100 0 0 0 0 0",
    "devices/system/cpu/cpu0/online": "1",
}
OVERLAY = """
set -e
mount -t tmpfs none "$1"
cd "$1"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
for folder in proc dev sys; do mount --rbind "/$folder" "root/$folder"; done
ln -s "$2" root/fake_sys
mount -t tmpfs none root/run
echo "jtop:x:54321:" >> root/etc/group
JTOP_TESTING=true chroot root "$3" -c "$4"
"""
SERVICE = """
import jtop.service
jtop.service.get_hardware = lambda: {"Module": "emulated", "L4T": "32.7.4"}
jtop.service.JtopServer(force=True).loop_for_ever()
"""
DRIVER = """
import json, os, signal, subprocess, sys, time
from jetson.board.monitor import Monitor

def serve():
    command = [sys.executable, "-c", SERVICE]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)

def until(condition, seconds=300):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.1)
    return [monitor.source, monitor.problem, monitor.latest() and monitor.latest()._asdict()]

seen = {}
service = serve()
with Monitor(patience=8.0, back_off=(1.0,)) as monitor:
    seen["answers"] = until(lambda: monitor.source == "jtop")
    os.killpg(service.pid, signal.SIGSTOP)
    seen["frozen"] = until(lambda: monitor.source != "jtop")
    seen["hangs"] = until(lambda: "within" in (monitor.problem or ""))
    os.killpg(service.pid, signal.SIGKILL)
    seen["stopped"] = until(lambda: "within" not in (monitor.problem or "within"))
    service = serve()
    seen["restarted"] = until(lambda: monitor.source == "jtop")
os.killpg(service.pid, signal.SIGKILL)
print(json.dumps(seen))
"""


@pytest.mark.skipif(not PYTHON, reason="DOBBLE_REAL_JTOP names no interpreter with jetson-stats")
def test_the_real_service_may_answer_freeze_stop_and_come_back(tmp_path):
    sys_folder, overlay = tmp_path / "sys", tmp_path / "overlay"
    overlay.mkdir()
    rails = [("POM_5V_IN", 620), ("POM_5V_GPU", 140), ("POM_5V_CPU", 80)]
    files = dict(NANO)
    for number, (rail, milliampere) in enumerate(rails):
        device = "bus/i2c/devices/6-0040/iio:device0/"
        files[device + "rail_name_{}".format(number)] = rail
        files[device + "in_voltage{}_input".format(number)] = "5000"
        files[device + "in_current{}_input".format(number)] = str(milliampere)
        files[device + "in_power{}_input".format(number)] = str(milliampere * 5)
        files[device + "crit_current_limit_{}".format(number)] = "32760"
        files[device + "warn_current_limit_{}".format(number)] = "32760"
    for path, content in files.items():
        (sys_folder / path).parent.mkdir(parents=True, exist_ok=True)
        (sys_folder / path).write_text(content)
    (sys_folder / GPU / "devfreq/57000000.gpu/device").symlink_to(str(sys_folder / GPU))
    (sys_folder / "class/devfreq").mkdir(parents=True)
    (sys_folder / "class/devfreq/57000000.gpu").symlink_to(str(sys_folder / GPU / "devfreq/57000000.gpu"))
    driver = "SERVICE = {!r}\n".format(SERVICE) + DRIVER
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", OVERLAY, "overlay"]
    done = subprocess.run(
        command + [str(overlay), str(sys_folder), PYTHON, driver],
        env=dict(os.environ, PYTHONPATH=ROOT),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    source, problem, sample = seen["answers"]
    assert (source, problem, sample["power_mw"]) == ("jtop", None, 3100.0)
    assert (sample["gpu_mhz"], sample["gpu_max_mhz"], sample["gpu_load"]) == (614.4, 921.6, 0.9)
    assert sample["ram_total_mb"] > 0
    assert seen["frozen"][0] == "none"
    assert "did not answer within 8 s" in seen["hangs"][1]
    assert seen["stopped"][0] == "none"
    assert seen["restarted"][0] == "jtop"
