"""Two runs side by side, and experiments of DVC among them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from mlflow_server import Line
from tracked_project import Project

from dobble.cli.main import main
from dobble.registry.comparison import compare
from dobble.registry.versions import register
from dobble.tracking.errors import RunNotFoundError, VersionError
from dobble.tracking.experiments import log_experiments
from dobble.tracking.mlflow_client import open_mlflow
from dobble.tracking.runs import RunReference, log_run

pytest_plugins = ["tracked_fixtures"]

TOY = {
    "train": {
        "cmd": "mkdir -p build/train && printf 'epoch,mAP\\n1,0.25\\n2,0.5\\n' > build/train/history.csv",
        "params": ["train"],
        "outs": ["build/train"],
    },
    "export": {
        "cmd": "mkdir -p build/bundle && cp build/train/history.csv build/bundle/model.onnx",
        "deps": ["build/train"],
        "outs": ["build/bundle"],
    },
    "evaluate": {
        "cmd": "mkdir -p build/evaluation && "
        "sed -n 's/ *epochs: \\(.*\\)/{\"mAP\": 0.\\1}/p' params.yaml > build/evaluation/metrics.json",
        "deps": ["build/bundle", "params.yaml"],
        "metrics": [{"build/evaluation/metrics.json": {"cache": False}}],
    },
}


@pytest.fixture
def two(project: Project, database: str) -> tuple[Project, RunReference, RunReference]:
    """Two logged results that differ in a parameter and a metric; the second is registered as version 1."""
    project.rerun(mAP=0.5)
    first = log_run(project.root)
    project.set_param("export", "score_threshold", 0.25)
    project.rerun(mAP=0.625)
    second = log_run(project.root)
    register(second, project.root)
    return project, first, second


def dobble(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | None:
    """Run a verb here, where MLflow is imported already; give its exit code if it failed."""
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(sys, "argv", ["dobble", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0) or None


def test_what_differs_comes_first(
    two: tuple[Project, RunReference, RunReference],
) -> None:
    project, first, second = two
    done = compare(first.name, "1", project.root)
    assert done.names == (first.name, second.name)
    assert [(row.name, row.first, row.second) for row in done.changed] == [
        ("export.score_threshold", "0.5", "0.25")
    ]
    assert ("train.epochs", "2", "2") in [(row.name, row.first, row.second) for row in done.same]
    best = done.metrics[0]
    assert (best.name, best.first, best.second, best.difference) == ("test/mAP", 0.5, 0.625, 0.125)
    assert done.url is None  # no server shows a page


def test_a_run_goes_by_its_name_its_id_its_version_and_its_alias(
    two: tuple[Project, RunReference, RunReference],
) -> None:
    project, _, second = two
    for name in (second.name, second.run_id, "1", "dobble/1", "candidate"):
        assert compare(name, name, project.root).names == (second.name, second.name)
    with pytest.raises(RunNotFoundError, match="no run of the name or id nobody's: `dobble models` lists"):
        compare("nobody's", "1", project.root)
    with pytest.raises(VersionError, match="no version is champion"):
        compare("champion", "1", project.root)


def test_verbs_take_a_result_to_a_champion_and_show_it(
    project: Project, line: Line, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dobble(project, monkeypatch, "models") is None
    assert capsys.readouterr().out == "no bundle is registered yet: `dobble register` does it\n"
    project.rerun(mAP=0.5)
    assert dobble(project, monkeypatch, "log") is None
    assert capsys.readouterr().out.startswith("run ")
    assert dobble(project, monkeypatch, "register") == 1
    refused = capsys.readouterr().err
    reached = json.loads((project.root / "build/evaluation/metrics.json").read_text(encoding="utf-8"))[
        "game"
    ]["joint"]
    assert (
        f"the model is not good enough: game.joint {reached:g} is below 0.8: nothing is registered" in refused
    )
    project.set_param("accept", "min_mAP", 0.0)
    project.set_param("accept", "min_game_accuracy", 0.0)
    assert dobble(project, monkeypatch, "register") is None
    judged, logged, registered, decided = capsys.readouterr().out.splitlines()
    assert judged == f"mAP 0.5 reaches 0, game.joint {reached:g} reaches 0"
    assert logged.startswith("logged as run ")
    assert registered == f"dobble version 1: new {line.address}/#/models/dobble/versions/1"
    assert decided == "version 1 is the first champion, with mAP 0.5"
    project.rerun(bundle="other", mAP=0.25)
    assert dobble(project, monkeypatch, "register") is None
    assert dobble(project, monkeypatch, "promote", "2") is None
    assert capsys.readouterr().out.endswith("version 2 is champion, before it was version 1\n")
    assert dobble(project, monkeypatch, "rollback") is None
    assert capsys.readouterr().out == "version 1 is champion, before it was version 2\n"
    assert dobble(project, monkeypatch, "models") is None
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["version", "alias", "registered", "mAP"]
    assert [row.split()[:2] for row in rows] == [["2", "candidate"], ["1", "champion"]]
    assert [row.split()[4] for row in rows] == ["0.2500", "0.5000"]
    assert dobble(project, monkeypatch, "compare", "1", "2") is None
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].split() == ["test/mAP", "0.5", "0.25", "-0.25"]
    assert "train.epochs 2" in [" ".join(row.split()) for row in shown[shown.index("the same in both:") :]]
    page = rf'{line.address}/#/compare-runs\?runs=\["\w{{32}}", "\w{{32}}"]&experiments=\["\d+"]'
    assert re.fullmatch(page, unquote(shown[-1]))
    line.cut()
    assert dobble(project, monkeypatch, "models") is not None
    problem = capsys.readouterr().err
    assert problem.startswith(f"error: MLflow at {line.address} does not answer (connection refused)")


def test_experiments_of_dvc_appear_by_their_names_and_only_once(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG"):
        monkeypatch.setenv(f"DVC_{name}_DIR", str(tmp_path / name))
    for name, value in (("NAME", "test"), ("EMAIL", "test@example.org")):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)
    root = tmp_path / "toy"
    root.mkdir()

    def run(*command: str) -> None:
        subprocess.run(command, cwd=root, capture_output=True, check=True)

    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": TOY}), encoding="utf-8")
    (root / "params.yaml").write_text("train:\n  epochs: 1\n", encoding="utf-8")
    run("git", "init", "--quiet")
    run("dvc", "init", "--quiet")
    run("dvc", "repro", "--quiet")
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--message", "state")
    assert log_experiments(root) == []
    run("dvc", "exp", "run", "--quiet", "--name", "longer", "--set-param", "train.epochs=3")
    run("dvc", "exp", "run", "--quiet", "--name", "longest", "--set-param", "train.epochs=7")
    logged = log_experiments(root)
    assert {one.name for one in logged} == {"longer", "longest"}
    assert log_experiments(root) == logged
    with open_mlflow(root) as mlflow:
        runs = {run.info.run_name: run for run in mlflow.client.search_runs([mlflow.experiment_id])}
        history = mlflow.client.get_metric_history(runs["longer"].info.run_id, "val/mAP")
    assert set(runs) == {"longer", "longest"}
    assert runs["longer"].data.tags["dvc.exp"] == "longer"
    assert runs["longer"].data.params == {"train.epochs": "3"}
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.25), (2, 0.5)]
    done = compare("longer", "longest", root)
    assert (done.metrics[0].name, done.metrics[0].first, done.metrics[0].second) == ("test/mAP", 0.3, 0.7)


def test_a_result_that_an_experiment_brought_gets_its_figures_from_the_workspace(
    project: Project, database: str
) -> None:
    reference = log_run(project.root)
    with open_mlflow(project.root) as mlflow:
        mlflow.client.delete_tag(reference.run_id, "test.data")  # as `log_experiments` leaves a run
    assert log_run(project.root).run_id == reference.run_id
    with open_mlflow(project.root) as mlflow:
        tags = mlflow.client.get_run(reference.run_id).data.tags
    assert "test.data" in tags
    assert json.loads((project.root / "build/validation/metrics.json").read_text())["passed"]
