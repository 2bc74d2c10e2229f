"""A project whose stages are quick: each puts in place what the real one made for a small game."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml
from pipelines import Pipeline, write_params

# Prefect reads its settings when it is imported, which every import of `flows` does.
_HOME = Path(tempfile.mkdtemp(prefix="dobble-flows-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ.update(
    {
        "PREFECT_HOME": str(_HOME / "prefect"),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "DVC_SITE_CACHE_DIR": str(_HOME / "site"),
        "DVC_NO_ANALYTICS": "1",
    }
)

GIT_USER = ("-c", "user.name=test", "-c", "user.email=test@example.org")
STAGES = ("convert", "split", "train", "export", "evaluate")
OUTS = {"convert": "voc", "split": "splits", "train": "train", "export": "bundle", "evaluate": "evaluation"}
NEEDS = {"convert": (), "split": ("voc",), "train": ("voc", "splits"), "export": ("train",)}
NEEDS["evaluate"] = ("bundle", "splits", "voc")

# Fails if told so, and publishes epochs one by one as the real training does.
STAGE = """
import pathlib, shutil, sys, time
name, out = sys.argv[1:]
print(f"{name} begins", flush=True)
if pathlib.Path("broken", name).exists():
    sys.exit(f"error: {name} finds nothing to work with")
if pathlib.Path("slow", name).exists():
    pathlib.Path("slow", name).write_text("at work")
    time.sleep(600)
made = pathlib.Path("prepared/build", out)
if name == "train":
    growing = pathlib.Path("build/.train.resume")
    growing.mkdir(parents=True, exist_ok=True)
    head, *rows = (made / "history.csv").read_text().splitlines(keepends=True)
    for count in range(1, len(rows) + 1):
        side = growing / "side"
        side.write_text("".join([head, *rows[:count]]))
        side.rename(growing / "history.csv")
        time.sleep(0.6)
    shutil.rmtree(growing)
shutil.rmtree(pathlib.Path("build", out), ignore_errors=True)
shutil.copytree(made, pathlib.Path("build", out))
"""


@dataclass(frozen=True)
class FlowProject:
    """A folder with the quick stages, committed."""

    root: Path

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def dvc(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments)

    def mark(self, kind: str, stage: str) -> Path:
        """Make a stage `broken` or `slow`."""
        path = self.root / kind / stage
        path.parent.mkdir(exist_ok=True)
        path.touch()
        return path

    def copy(self, to: Path) -> "FlowProject":
        return FlowProject(Path(shutil.copytree(self.root, to, symlinks=True)))


def make_project(root: Path, prepared: Pipeline) -> FlowProject:
    """Make the project and pin its data; no stage has run."""
    made = FlowProject(root)
    shutil.copytree(prepared.data, root / "data")
    (root / "prepared").symlink_to(prepared.root)
    (root / "stage.py").write_text(STAGE, encoding="utf-8")
    limits = {"min_mAP": 0.0, "min_game_accuracy": 0.0}
    write_params(root, accept=limits, registry={"metric": "mAP", "margin": 0.001, "minimum": 0.0})
    stages = {
        name: {
            "cmd": f"python stage.py {name} {OUTS[name]}",
            "deps": ["data"] if name == "convert" else [f"build/{need}" for need in NEEDS[name]],
            "params": [name],
            "outs": [{f"build/{OUTS[name]}": {"persist": True}}],
        }
        for name in STAGES
    }
    stages["evaluate"]["outs"] = [f"build/evaluation/{name}" for name in ("metrics.json", "plots", "report")]
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False), encoding="utf-8")
    ignored = "/.dobble/\n/data\n/prepared\n/build/*\n/slow/\n/broken/\n/storage/\n/stack.yaml\n"
    (root / ".gitignore").write_text(ignored, encoding="utf-8")
    made.run("git", "init", "--quiet")
    made.dvc("init", "--quiet")
    made.dvc("remote", "add", "--quiet", "--default", "local", "storage")
    made.dvc("add", "--quiet", "data")
    made.run("git", "add", "--all")
    made.run("git", *GIT_USER, "commit", "--quiet", "--message", "Start")
    return made
