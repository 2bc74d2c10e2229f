"""The pipeline as DVC runs it, in a copy of the repository with a game of seven symbols."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pipelines import ROOT, SYMBOLS, files_of, write_params

pytest_plugins = ["pipeline_fixtures"]

STAGES = set(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"])
NOT_COPIED = {"data.dvc", "dvc.lock"}  # they are about other data than the test's
METRICS = "build/evaluation/metrics.json"
SPLIT_CODE = "dobble/data/split.py"
VALIDATION = "build/validation/metrics.json"

Finished = subprocess.CompletedProcess[str]


class Copy:
    """A repository of its own, with the repository's files as they are in the working tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def make(cls, folder: Path, files: list[str], data: Path) -> "Copy":
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        shutil.copytree(data, folder / "data")
        write_params(folder, train={"epochs": 1})
        made = cls(folder)
        made.run("git", "init", "--quiet")
        made.run("dvc", "add", "--quiet", "data")
        made.commit()
        return made

    def try_(self, *command: str) -> Finished:
        home = self.folder.parent
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(home / "site"),
            "DVC_GLOBAL_CONFIG_DIR": str(home / "global"),
            "DVC_SYSTEM_CONFIG_DIR": str(home / "system"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
        }
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )

    def run(self, *command: str) -> str:
        done = self.try_(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def repro(self, *command: str) -> set[str]:
        """Run `dvc repro`, or what stands for it, and name the stages whose commands ran."""
        said = self.run("dvc", *(command or ["repro"]))
        return set(re.findall(r"Running stage '(\w+)'", said))

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "state")

    def restore(self) -> None:
        self.run("git", "checkout", "--quiet", "--force", "HEAD")
        self.run("dvc", "checkout", "--quiet", "--force")

    def set(self, block: str, name: str, value: object) -> None:
        path = self.folder / "params.yaml"
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        values[block][name] = value
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def reproduced(game_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy in which `dvc repro` has run every stage once, committed."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the project lies in no git repository")
    files = [name for name in names.split("\0") if name and name not in NOT_COPIED]
    there = [name for name in files if (ROOT / name).is_file()]
    made = Copy.make(tmp_path_factory.mktemp("dvc") / "copy", there, game_data)
    assert made.repro() == STAGES
    made.commit()
    return made


@pytest.fixture
def copy(reproduced: Copy) -> Iterator[Copy]:
    """The same copy, brought back to its commit after the test."""
    yield reproduced
    reproduced.restore()  # git alone would not tell that the data have changed


def test_what_has_run_does_not_run_again(copy: Copy) -> None:
    assert copy.repro() == set()
    assert "up to date" in copy.run("dvc", "status")
    assert copy.run("git", "status", "--porcelain") == ""


def test_git_keeps_the_metrics_and_nothing_else_of_what_stages_write(copy: Copy) -> None:
    tracked = copy.run("git", "ls-files", "build").split()
    assert [name for name in tracked if not name.endswith(".gitignore")] == [METRICS, VALIDATION]
    written = [name for name in files_of(copy.folder / "build") if not name.endswith(".gitignore")]
    assert {name.split("/")[0] for name in written} >= {
        "voc", "splits", "validation", "train", "bundle", "evaluation"
    }  # fmt: skip
    for name in (f"build/{file}" for file in written):
        ignored = copy.try_("git", "check-ignore", "--quiet", "--no-index", name).returncode == 0
        assert ignored == (name not in {METRICS, VALIDATION}), name
    assert copy.try_("git", "check-ignore", "--quiet", "data/export.ndjson").returncode == 0


def test_a_wrong_label_stops_the_pipeline_before_training_and_what_is_wrong_can_be_seen(copy: Copy) -> None:
    export = copy.folder / "data/export.ndjson"
    right = export.read_text(encoding="utf-8")
    trained = files_of(copy.folder / "build/train")
    name, was, now = mislabel(export)
    done = copy.try_("dvc", "repro")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert set(re.findall(r"Running stage '(\w+)'", said)) == {"convert", "split", "validate"}
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert line.startswith(
        f"error: 1 finding in the labelled photos, the surest: photo {name}: *{now}* is probably *{was}*"
    )
    assert "all of them are in build/validation/findings.csv, pictures in build/validation/sheets" in line
    assert "Traceback" not in said
    assert files_of(copy.folder / "build/train") == trained

    with (copy.folder / "build/validation/findings.csv").open(newline="", encoding="utf-8") as file:
        (found,) = csv.DictReader(file)
    assert (found["photo"], found["finding"]) == (name, f"*{now}* is probably *{was}*")
    assert (copy.folder / "build/validation/sheets/sheet01.jpg").is_file()
    assert json.loads((copy.folder / VALIDATION).read_text(encoding="utf-8"))["passed"] is False

    rewrite(export, right)
    assert "train" not in copy.repro()
    assert json.loads((copy.folder / VALIDATION).read_text(encoding="utf-8"))["passed"] is True
    assert copy.run("git", "status", "--porcelain") == ""


def test_another_limit_validates_anew_and_does_not_train_anew(copy: Copy) -> None:
    copy.set("validate", "min_sharpness", 5.0)
    assert copy.repro() == {"validate"}


@pytest.mark.parametrize("target", ["repro", "demo"])
def test_make_says_that_data_are_not_what_is_pinned_and_pins_nothing(copy: Copy, target: str) -> None:
    before = (copy.folder / "data.dvc").read_bytes()
    mislabel(copy.folder / "data/export.ndjson")
    done = copy.try_("make", "--assume-old", ".venv/.ready", target)
    assert done.returncode != 0
    assert "pinned data differs: 1 changed, 0 new, 0 missing; run `dobble pin` to accept it" in done.stderr
    assert "Running stage" not in done.stdout
    assert (copy.folder / "data.dvc").read_bytes() == before


def mislabel(export: Path) -> tuple[str, str, str]:
    """Call one symbol by another name; give the photo, the right name and the wrong one."""
    first, *rest = export.read_text(encoding="utf-8").splitlines(keepends=True)
    row = json.loads(first)
    (project,) = row["projects"].values()
    objects = project["labels"][0]["annotations"]["objects"]
    was = objects[0]["name"]
    now = next(name for name in SYMBOLS if name not in {one["name"] for one in objects})
    objects[0]["name"] = objects[0]["value"] = now
    rewrite(export, json.dumps(row) + "\n" + "".join(rest))
    return Path(row["data_row"]["external_id"]).stem, was, now


def rewrite(path: Path, text: str) -> None:
    """Give a file other content, but not to those that it may be linked with."""
    path.unlink()
    path.write_text(text, encoding="utf-8")


def test_a_wrong_parameter_stops_the_pipeline_and_leaves_its_outputs(copy: Copy) -> None:
    before = files_of(copy.folder / "build")
    copy.set("export", "score_threshold", 1.5)
    done = copy.try_("dvc", "repro")
    assert done.returncode != 0
    assert "error: params.yaml: export.score_threshold " in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert files_of(copy.folder / "build") == before


def test_the_graph_leads_from_the_data_to_the_evaluation(copy: Copy) -> None:
    graph = copy.run("dvc", "dag", "--mermaid")
    assert all(f'"{stage}"' in graph for stage in STAGES)
    assert '"data.dvc"' in graph


def test_an_experiment_with_a_threshold_runs_export_and_evaluate_only_and_is_compared(copy: Copy) -> None:
    ran = copy.repro("exp", "run", "--name", "bolder", "--set-param", "export.score_threshold=0.25")
    assert ran == {"export", "evaluate"}
    manifest = json.loads((copy.folder / "build/bundle/manifest.json").read_text(encoding="utf-8"))
    assert manifest["thresholds"]["score"] == 0.25

    table = list(csv.DictReader(io.StringIO(copy.run("dvc", "exp", "show", "--csv", "--precision", "9"))))
    bolder = next(row for row in table if row["Experiment"] == "bolder")
    assert {column.split(".")[0] for column in bolder if "." in column} >= STAGES
    assert (bolder["export.score_threshold"], bolder["train.epochs"]) == ("0.25", "1")
    metrics = json.loads((copy.folder / METRICS).read_text(encoding="utf-8"))
    for name in ("mAP", "mAP50", "accuracy", "mean_iou"):
        assert float(bolder[name]) == metrics[name]
    assert float(bolder["game.joint"]) == metrics["game"]["joint"]

    changed = json.loads(copy.run("dvc", "params", "diff", "--json"))
    assert list(changed["params.yaml"]) == ["export.score_threshold"]
    difference = json.loads(copy.run("dvc", "metrics", "diff", "--json"))
    assert "latency_ms" in difference[METRICS]  # no two runs take equally long


OTHER_CODE = """
_split = split
def split(voc, out, params):
    done = _split(voc, out, params)
    (out / "made_by.txt").write_text("other code")
    return done
"""


def change_code(folder: Path) -> None:
    """Have the stage `split` leave a file that tells by which code it was made."""
    rewrite(folder / SPLIT_CODE, (folder / SPLIT_CODE).read_text(encoding="utf-8") + OTHER_CODE)


def test_queued_experiment_runs_the_code_that_it_was_queued_with(copy: Copy) -> None:
    change_code(copy.folder)
    copy.run("dvc", "exp", "run", "--queue", "--name", "other", "--single-item", "split")
    copy.run("git", "checkout", "--quiet", SPLIT_CODE)
    copy.run("dvc", "exp", "run", "--run-all")
    copy.run("dvc", "exp", "apply", "other")
    assert "other code" in (copy.folder / SPLIT_CODE).read_text(encoding="utf-8")
    assert (copy.folder / "build/splits/made_by.txt").read_text(encoding="utf-8") == "other code"


def test_worktree_runs_its_own_code(copy: Copy, tmp_path: Path) -> None:
    copy.run("git", "worktree", "add", "--quiet", "--detach", str(tmp_path / "other"))
    worktree = Copy(tmp_path / "other")
    worktree.run("dvc", "cache", "dir", "--local", str(copy.folder / ".dvc/cache"))
    worktree.run("dvc", "checkout", "--quiet", "build/voc", "build/splits")
    change_code(worktree.folder)
    assert worktree.repro("repro", "--single-item", "split") == {"split"}
    assert (worktree.folder / "build/splits/made_by.txt").is_file()
    copy.run("git", "worktree", "remove", "--force", str(worktree.folder))


def test_every_plot_can_be_shown(copy: Copy) -> None:
    copy.run("dvc", "plots", "show", "--out", "plots")
    page = (copy.folder / "plots/index.html").read_text(encoding="utf-8")
    described = yaml.safe_load((copy.folder / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    titles = [entry.get("title", name) for plot in described for name, entry in plot.items()]
    assert len(titles) >= 4
    for title in titles:
        assert title in page
    shutil.rmtree(copy.folder / "plots")
