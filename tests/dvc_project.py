"""A small DVC project whose one stage ran once, to push and pull."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

from s3_server import REGION

from dobble.storage.stack import use_stack

STAGE = """
stages:
  count:
    cmd:
      - echo ran >> ../runs.log
      - mkdir -p build
      - ls data/images > build/list.txt
      - wc -l < build/list.txt > n.json
    deps: [data]
    outs: [build]
    metrics:
      - n.json: {cache: false}
"""


def make_project(root: Path, photos: int) -> Path:
    """Make and commit the project."""
    write_photos(root, photos)
    (root / "dvc.yaml").write_text(STAGE)
    (root / ".gitignore").write_text(".dobble/\nstack.yaml\n/build\n")
    run(["git", "init", "--quiet"], root)
    dvc(["init", "--quiet"], root)
    (root / ".dvc/config").write_text("[core]\n    check_update = false\n")
    dvc(["add", "--quiet", "data"], root)
    dvc(["repro", "--quiet"], root)
    run(["git", "add", "."], root)
    run(["git", "commit", "--quiet", "-m", "Start"], root)
    return root


def write_photos(root: Path, count: int, size: int = 2000) -> None:
    images = root / "data/images"
    images.mkdir(parents=True)
    generator = random.Random(0)
    for number in range(count):
        (images / f"{number:03}.jpg").write_bytes(generator.randbytes(size))


def use(root: Path, endpoint: str, bucket: str) -> None:
    text = f"remote:\n  url: s3://{bucket}/dvc\n  endpointurl: {endpoint}\n  region: {REGION}\n"
    (root / "stack.yaml").write_text(text)
    use_stack("stack.yaml", root)


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, stdout=-1, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def dvc(arguments: list[str], root: Path) -> str:
    return run([sys.executable, "-m", "dvc", *arguments], root)


def clone_of(project: Path) -> Path:
    clone = project.parent / "clone"
    run(["git", "clone", "--quiet", str(project), str(clone)], project)
    shutil.copy(project / "stack.yaml", clone)
    use_stack("stack.yaml", clone)
    return clone
