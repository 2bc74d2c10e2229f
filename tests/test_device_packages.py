"""The Python packages of every JetPack, resolved by pip for the board's own Python and processor."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pipelines import ROOT

BOARDS = {  # L4T: Python, newest C library that a wheel may ask for
    "32.7.6": ("3.6", (2, 27)),
    "35.6.4": ("3.8", (2, 31)),
    "36.4.3": ("3.10", (2, 35)),
    "38.2.0": ("3.12", (2, 39)),
}


@pytest.mark.parametrize("l4t", BOARDS)
def test_packages_of_each_jetpack_resolve_for_its_processor(l4t: str, tmp_path: Path) -> None:
    version, glibc = BOARDS[l4t]
    packages = packages_of(l4t, tmp_path)
    done = resolve(packages, version, glibc, tmp_path)
    if done.returncode != 0 and not reaches_index(tmp_path):
        pytest.skip(f"{' '.join(packages)} for aarch64 and Python {version} not tried: pip reaches no index")
    assert done.returncode == 0, done.stderr
    found = [one["metadata"] for one in json.loads(done.stdout)["install"]]
    chosen = {one["name"]: one["version"] for one in found}
    assert {"numpy", "onnxruntime"} <= set(chosen)
    if version == "3.6":
        assert (chosen["numpy"], chosen["onnxruntime"]) == ("1.19.5", "1.10.0")


def test_a_set_that_cannot_be_is_found_out(tmp_path: Path) -> None:
    """The aarch64 build of the runtime asks for a newer numpy than that for x86 does."""
    done = resolve(["numpy==1.19.4", "onnxruntime==1.10.0"], "3.6", (2, 27), tmp_path)
    if not reaches_index(tmp_path):
        pytest.skip("no set of packages tried: pip reaches no index")
    assert done.returncode != 0
    assert "ResolutionImpossible" in done.stderr


def packages_of(l4t: str, folder: Path) -> list[str]:
    """Read from a dry run what the installer would install on a board."""
    root, archive = folder / "root", folder / "archive"
    (root / "etc").mkdir(parents=True)
    major, minor = l4t.split(".", 1)
    line = f"# R{major} (release), REVISION: {minor}, GCID: 1\n"
    (root / "etc/nv_tegra_release").write_text(line, encoding="utf-8")
    for path in ("jetson", "bundle"):
        (archive / path).mkdir(parents=True)
    (archive / "bundle/manifest.json").touch()
    installer = archive / "install.sh"
    installer.write_bytes((ROOT / "jetson/deploy/install.sh").read_bytes())
    command = ["bash", str(installer), "--dry-run", "--root", str(root)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in said.splitlines() if "--only-binary" in line)
    words = shlex.split(line.replace("<", r"\<").replace(">", r"\>"))
    return words[words.index(":all:") + 1 :]


def resolve(
    packages: list[str], version: str, glibc: tuple[int, int], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Let pip choose wheels for another Python and processor; nothing is installed."""
    major, minor = version.split(".")
    tags = [f"manylinux_{glibc[0]}_{number}_aarch64" for number in range(glibc[1], 16, -1)]
    tags += ["manylinux2014_aarch64", "linux_aarch64"]
    abis = [f"cp{major}{minor}{'m' if version == '3.6' else ''}", "abi3", "none"]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-"]
    command += ["--target", str(folder / "nowhere"), "--ignore-installed", "--only-binary", ":all:"]
    command += ["--implementation", "cp", "--python-version", version]
    for option, values in (("--platform", tags), ("--abi", abis)):
        for value in values:
            command += [option, value]
    return subprocess.run(
        [*command, *packages],
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def reaches_index(folder: Path) -> bool:
    """Tell whether pip finds a package that every index has."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder / "one")]
    command.append("six")
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
