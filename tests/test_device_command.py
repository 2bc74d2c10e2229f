"""The command that the installer leaves: as the service's account, and the benchmark without the service."""

import os
import subprocess
from pathlib import Path

import pytest
from pipelines import ROOT

SYSTEM = {  # what stands in the place of the system's own programs writes down how it was called
    "id": "echo {user}",
    "systemctl": 'echo "systemctl $*" >> {log}\n[ "$1" != is-active ] || exit {inactive}',
    "runuser": 'echo "runuser $*" >> {log}\nexit {code}',
    "python": 'echo "python $*, home $DOBBLE_DEVICE_HOME" >> {log}',
}


@pytest.mark.parametrize(
    ("arguments", "facts", "calls"),
    [
        ("doctor --json", {"user": 1000}, ["python -m jetson doctor --json, home /var/lib/dobble"]),
        ("doctor", {}, ["runuser -u dobble -- {python} -m jetson doctor"]),
        (
            "benchmark --quick",
            {},
            [
                "systemctl is-active --quiet dobble.service",
                "systemctl stop dobble.service",
                "runuser -u dobble -- {python} -m jetson benchmark --quick",
                "systemctl start dobble.service",
            ],
        ),
        (
            "benchmark",
            {"inactive": 3},
            [
                "systemctl is-active --quiet dobble.service",
                "runuser -u dobble -- {python} -m jetson benchmark",
            ],
        ),
        (
            "benchmark",
            {"code": 1},
            [
                "systemctl is-active --quiet dobble.service",
                "systemctl stop dobble.service",
                "runuser -u dobble -- {python} -m jetson benchmark",
                "systemctl start dobble.service",
            ],
        ),
    ],
    ids=["as a user", "as root", "service runs", "service does not run", "benchmark fails"],
)
def test_benchmark_stops_the_service_and_starts_it_again(
    arguments: str, facts: dict[str, int], calls: list[str], tmp_path: Path
) -> None:
    told = {"user": 0, "inactive": 0, "code": 0, **facts}
    log, python = tmp_path / "calls.txt", tmp_path / "python"
    for name, text in SYSTEM.items():
        (tmp_path / name).write_text("#!/bin/sh\n" + text.format(log=log, **told) + "\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    command = (ROOT / "jetson/deploy/dobble-device").read_text(encoding="utf-8")
    installed = tmp_path / "dobble-device"
    installed.write_text(command.replace("/opt/dobble/venv/bin/python", str(python)), encoding="utf-8")
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["sh", str(installed), *arguments.split()], env=environment, check=False)
    assert done.returncode == told["code"]
    made = log.read_text(encoding="utf-8").splitlines()
    assert made == [call.format(python=python) for call in calls]
