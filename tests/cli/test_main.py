"""The command line as a user meets it: verbs, exit codes, and one line for each failure."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pipelines import SYMBOLS, Pipeline, files_of, write_params

pytest_plugins = ["pipeline_fixtures"]

Finished = subprocess.CompletedProcess[str]
VERBS = (
    "sample",
    "import",
    "fetch",
    "upload",
    "convert",
    "split",
    "validate",
    "train",
    "export",
    "evaluate",
    "play",
    "summary",
)


def dobble(folder: Path, *arguments: str, largest_file: int | None = None) -> Finished:
    """Run a verb in a folder; `largest_file` bytes are the most that it can write into one file."""

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.run(
        [sys.executable, "-m", "dobble", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=900,
        preexec_fn=limit,
        check=False,
    )


def error_of(done: Finished, rows: int = 0) -> str:
    """The message of a run that failed as it should: one line, one more for each bad row, nothing else."""
    assert done.returncode == 1, done.stderr
    assert re.fullmatch(rf"error: [^\n]+\n(  row [^\n]+\n){{{rows}}}", done.stderr), done.stderr
    assert not done.stdout
    return done.stderr.removeprefix("error: ").rstrip("\n")


@pytest.fixture
def project(pipeline: Pipeline, tmp_path: Path) -> Path:
    """A project's folder in which every stage but the evaluation has run."""
    shutil.copytree(pipeline.root, tmp_path / "project")
    (tmp_path / "project/build/evaluation").mkdir()
    (tmp_path / "project/build/evaluation/metrics.json").write_text("{}", encoding="utf-8")
    return tmp_path / "project"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_help_lists_every_verb(tmp_path: Path, arguments: list[str]) -> None:
    done = dobble(tmp_path, *arguments)
    assert done.returncode == 0
    assert not done.stderr
    assert all(re.search(rf"^\W*{verb}\s", done.stdout, re.MULTILINE) for verb in VERBS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Usage"),
        (["paint"], "No such command 'paint'"),
        (["sample", "--cards", "3"], "No such option"),
        (["sample", "--decks", "many"], "Invalid value for '--decks'"),
        (["play"], "Missing argument"),
        (["convert", "surplus"], "unexpected extra argument"),
    ],
)
def test_what_is_no_command_is_answered_with_how_to_say_it(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = dobble(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_reader_that_has_seen_enough_is_no_failure_to_talk_about(tmp_path: Path) -> None:
    command = f"{sys.executable} -m dobble --help | true"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr


def test_light_stages_run_and_say_in_one_line_what_they_did(project: Path) -> None:
    before = files_of(project / "build")
    for verb, said in (
        ("convert", r"build/voc: 28 photos, 84 boxes of 7 symbols; 0 boxes clipped, 0 photos without.*"),
        ("split", r"build/splits: train 14 photos of 2 decks, val 7 photos of 1 decks, test 7 .*"),
        ("validate", r"build/validation: 28 photos, 0 errors, 0 warnings on 0 photos"),
    ):
        done = dobble(project, verb)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(said + r"\n", done.stdout)
    validation = {"deepchecks.html", "findings.csv", "metrics.json", "sheets/index.html", "verdict.txt"}
    after = files_of(project / "build")
    assert {f"validation/{name}" for name in validation} == set(after) - set(before)
    assert before.items() <= after.items()


def test_play_says_the_answer_and_where_the_picture_is(project: Path) -> None:
    photos = [f"data/images/deck00_card0{card}.jpg" for card in (3, 4)]
    done = dobble(project, "play", *photos, "--out", "shown/match.png")
    assert (done.returncode, done.stderr) == (0, "")
    answer, picture = done.stdout.splitlines()
    assert answer.split(" ")[0] in SYMBOLS
    assert picture == "picture: shown/match.png"
    assert (project / "shown/match.png").is_file()


def test_summary_prints_the_metrics_of_the_last_evaluation(project: Path) -> None:
    metrics = {
        "mAP": 0.5, "mAP50": 0.75, "accuracy": 0.875, "mean_iou": 0.8, "game": {"simple": 0.25, "joint": 0.5},
        "onnx_difference": 1e-6, "latency_ms": 12.5,
    }  # fmt: skip
    (project / "build/evaluation/metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    done = dobble(project, "summary")
    assert (done.returncode, done.stderr) == (0, "")
    for said in ("mAP 0.500", "accuracy 87.5%", "game, deck known deck unknown", "one card 12.5 ms"):
        assert said in re.sub(" +", " ", done.stdout)


def nothing(project: Path) -> None:
    """Leave all as it is."""


def add_a_parameter(project: Path) -> None:
    write_params(project, train={"epoch": 3})


def mistype_a_parameter(project: Path) -> None:
    write_params(project, train={"epochs": "many"})


def raise_a_ratio(project: Path) -> None:
    write_params(project, split={"ratios": {"train": 1.5, "val": 0.25, "test": 0.25}})


def cut_the_export(project: Path) -> None:
    path = project / "data/export.ndjson"
    path.write_bytes(path.read_bytes()[:-40])


def empty_the_export(project: Path) -> None:
    (project / "data/export.ndjson").write_bytes(b"")


def cut_a_photo(project: Path) -> None:
    path = project / CUT
    path.write_bytes(path.read_bytes()[:-2000])


def leave_a_class_one_photo(project: Path) -> None:
    path = project / "build/voc/Annotations/deck01_card02.xml"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub("<name>.*?</name>", "<name>lonely</name>", text, count=1), encoding="utf-8")


def leave_one_symbol(project: Path) -> None:
    for name in SYMBOLS[1:]:
        (project / f"symbols/{name}.png").unlink()


def cut_the_checkpoint(project: Path) -> None:
    path = project / "build/train/checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-5000])


def cut_the_model(project: Path) -> None:
    path = project / "build/bundle/model.onnx"
    path.write_bytes(path.read_bytes()[:-5000])


def spoil_the_manifest(project: Path) -> None:
    (project / "build/bundle/manifest.json").write_bytes(b"{")


def spoil_a_byte_of_the_model(project: Path) -> None:
    path = project / "build/bundle/model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def remove_data(project: Path) -> None:
    shutil.rmtree(project / "data")


def remove_params(project: Path) -> None:
    (project / "params.yaml").unlink()


def remove_metrics(project: Path) -> None:
    shutil.rmtree(project / "build/evaluation")


PHOTO, OTHER = "data/images/deck00_card00.jpg", "data/images/deck00_card01.jpg"
CUT = "data/images/deck01_card02.jpg"
Spoil = Callable[[Path], None]
BAD_INPUTS: dict[str, tuple[Spoil, list[str], str]] = {
    "unknown parameter": (add_a_parameter, ["convert"], r"params\.yaml: train\.epoch is no parameter"),
    "mistyped parameter": (mistype_a_parameter, ["train"], r"train\.epochs must be .*integer, not 'many'"),
    "ratio above 1": (raise_a_ratio, ["split"], r"ratios\.train must be .*not 1\.5"),
    "no params": (remove_params, ["convert"], r"params\.yaml does not exist: run in the project's folder"),
    "empty export": (empty_the_export, ["convert"], r"export\.ndjson: has no rows"),
    "no data": (remove_data, ["convert"], r"data does not exist: run `dobble sample`"),
    "no metrics": (remove_metrics, ["summary"], r"metrics\.json does not exist: run `dvc repro`"),
    "class with one photo": (leave_a_class_one_photo, ["split"], r"class 'lonely' stands on one photo only"),
    "one symbol": (leave_one_symbol, ["sample", "--symbols", "symbols"], r"1 symbols make no deck: take 3"),
    "data that nothing keeps": (
        nothing,
        ["sample", "--symbols", "symbols"],
        r"data holds 28 photos, 28 rows of sample-deck; DVC does not keep them, and they would be lost",
    ),
    "no decks": (nothing, ["sample", "--decks", "0"], r"decks must be at least 1, not 0"),
    "corrupt checkpoint": (cut_the_checkpoint, ["export"], r"checkpoint\.pt: is damaged or no checkpoint"),
    "bundle cut short": (
        cut_the_model,
        ["play", PHOTO, OTHER],
        r"model\.onnx: has \d+ bytes, the manifest",
    ),
    "bundle altered": (spoil_a_byte_of_the_model, ["play", PHOTO, OTHER], r"model\.onnx: is not the file"),
    "corrupt manifest": (spoil_the_manifest, ["play", PHOTO, OTHER], r"manifest\.json: cannot be read"),
    "three pictures": (nothing, ["play", PHOTO, OTHER, PHOTO], r"play takes one picture .* not 3"),
    "picture onto itself": (
        nothing,
        ["play", PHOTO, OTHER, "--out", PHOTO],
        r"it is a picture that is played",
    ),
    "no format": (
        nothing,
        ["play", PHOTO, OTHER, "--out", "match.xyz"],
        r"match\.xyz: no picture",
    ),
    "picture cut short": (cut_a_photo, ["play", CUT], r"deck01_card02\.jpg: is no picture"),
    "missing picture": (nothing, ["play", "nowhere.jpg"], r"nowhere\.jpg does not exist: check the name"),
    "folder as picture": (nothing, ["play", "data"], r"data does not exist: check the name"),
}


LOCKS = ".dobble/locks/"  # keep who wrote an output last


def contents_of(project: Path) -> dict[str, bytes]:
    """What a verb that fails leaves as it was."""
    return {name: found for name, found in files_of(project).items() if not name.startswith(LOCKS)}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_a_bad_input_is_one_line_and_changes_nothing(project: Path, case: str) -> None:
    spoil, arguments, message = BAD_INPUTS[case]
    spoil(project)
    before = contents_of(project)
    assert re.search(message, error_of(dobble(project, *arguments)))
    assert contents_of(project) == before


@pytest.mark.parametrize(
    ("spoil", "row", "problem"),
    [
        (cut_the_export, r"row 28 +", r"is cut short or no JSON .*: export again"),
        (
            cut_a_photo,
            r"row 10 +deck01_card02\.jpg +",
            r"is cut short or damaged .*: put the whole photo there",
        ),
    ],
)
@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        (["convert"], "build/voc-problems.csv"),
        (["import", "data/export.ndjson", "data/images", "--out", "taken"], "taken-problems.csv"),
    ],
)
def test_a_bad_row_is_told_and_listed_and_changes_nothing(
    project: Path, spoil: Spoil, row: str, problem: str, arguments: list[str], listed: str
) -> None:
    spoil(project)
    before = contents_of(project)
    said, told = error_of(dobble(project, *arguments), rows=1).splitlines()
    assert f"export.ndjson: 1 row cannot be used (listed in {listed})" in said
    assert re.fullmatch("  " + row + problem, told)
    after = contents_of(project)
    assert after.pop(listed).count(b"\n") == 2  # the head, and the row
    assert after == before


def test_outside_a_project_every_stage_says_where_to_run(tmp_path: Path) -> None:
    for verb in ("convert", "split", "validate", "train", "export", "evaluate"):
        assert error_of(dobble(tmp_path, verb)) == "params.yaml does not exist: run in the project's folder"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "largest_file", "output"),
    [
        (["sample", "--symbols", "symbols", "--decks", "1", "--replace"], 10_000, "data"),
        (["import", "data/export.ndjson", "data/images", "--replace"], 5_000, "data"),
        (["convert"], 500, "build/voc"),
        (["split"], 200, "build/splits"),
        (["play", PHOTO, OTHER, "--out", "shown.jpg"], 1_000, "shown.jpg"),
    ],
)
def test_a_full_disk_is_one_line_and_changes_nothing(
    project: Path, arguments: list[str], largest_file: int, output: str
) -> None:
    (project / "shown.jpg").write_bytes(b"an earlier picture")
    before = contents_of(project)
    message = error_of(dobble(project, *arguments, largest_file=largest_file))
    assert message.startswith(f"{output} could not be written: File too large")
    assert message.endswith("what was there before is untouched")
    assert contents_of(project) == before
