"""The device's containers as docker-compose 1.17.1 reads them, which is what Ubuntu 18.04 on a Nano has."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pipelines import ROOT
from test_bundle_on_python36 import find_python36

COMPOSE = "docker-compose==1.17.1"
DEPLOY = ROOT / "jetson/deploy"


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program in an environment of its own."""
    base = find_python36()
    if base is None:
        pytest.skip(f"{COMPOSE} was not tried: there is no Python 3.6")
    folder = tmp_path_factory.mktemp("compose")
    for command in (
        [str(base), "-m", "venv", str(folder)],
        [str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", COMPOSE],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"{COMPOSE} was not tried: pip reaches no index")
    return folder / "bin/docker-compose"


def read(compose: Path, *files: str) -> dict[str, Any]:
    chosen = [option for file in files for option in ("-f", str(DEPLOY / file))]
    done = subprocess.run(
        [str(compose), *chosen, "config"],
        env={**os.environ, "JTOP_GID": "117", "COMPOSE_PROJECT_NAME": "dobble"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    described: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    assert sorted(described) == ["jetpack4", "jetpack6"]
    return described


def test_without_a_camera_nothing_that_may_be_missing_keeps_the_container_from_starting(
    compose: Path,
) -> None:
    for name, service in read(compose, "compose.yaml").items():
        assert "devices" not in service
        assert service["command"] == ["serve", "--source", "none"]
        assert service["volumes"] == ["state:/var/lib/dobble:rw", "/run:/host/run:ro"]
        assert service["group_add"] == ["video", "117"]
        assert service["restart"] == "unless-stopped"
        assert service["build"]["dockerfile"] == f"{name}.Dockerfile"


def test_a_camera_is_added_where_one_is(compose: Path) -> None:
    for service in read(compose, "compose.yaml", "camera.yaml").values():
        assert service["devices"] == ["/dev/video0"]
        assert service["command"] == ["serve", "--source", "0"]
        assert service["restart"] == "unless-stopped"
