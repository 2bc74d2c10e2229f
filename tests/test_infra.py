"""The cloud stack's Terraform: valid, and keeping its promises by its own tests, without a cloud."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from pipelines import ROOT

PROVIDER = "*/hashicorp/aws"
MIRRORS = ("/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins", *Path("/opt").glob("*"))


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `infra/` in which Terraform has its provider."""
    if shutil.which("terraform") is None:
        pytest.skip("Terraform is not here")
    folder = tmp_path_factory.mktemp("terraform") / "infra"
    shutil.copytree(ROOT / "infra", folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    mirror = next((mirror for mirror in MIRRORS if any(Path(mirror).glob(PROVIDER))), None)
    done = terraform(folder, "init", "-input=false", *([f"-plugin-dir={mirror}"] if mirror else []))
    if done.returncode != 0:
        pytest.skip("Terraform's provider for AWS is not to be had here")
    return folder


def test_stack_is_valid_and_formatted(infra: Path) -> None:
    for command in (("fmt", "-check", "-recursive"), ("validate",)):
        done = terraform(infra, *command)
        assert done.returncode == 0, done.stdout + done.stderr


def test_stack_keeps_its_promises(infra: Path) -> None:
    done = terraform(infra, "test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed, 0 failed" in done.stdout


def terraform(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Terraform with nobody's own settings."""
    return subprocess.run(
        ["terraform", f"-chdir={folder}", *arguments],
        env={**os.environ, "TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
