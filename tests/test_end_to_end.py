"""Labelbox exports of both generations through every verb, as a user types them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pipelines import SYMBOLS, files_of, write_params

from jetson.play.bundle import load_bundle

pytest_plugins = ["pipeline_fixtures"]

Json = dict[str, Any]


def dobble(folder: Path, *arguments: str) -> str:
    """Run a verb that must work and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "dobble", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(data: Path) -> list[Json]:
    return [json.loads(line) for line in (data / "export.ndjson").read_text(encoding="utf-8").splitlines()]


def objects(row: Json) -> list[Json]:
    (project,) = row["projects"].values()
    found: list[Json] = project["labels"][0]["annotations"]["objects"]
    return found


def write_v1(path: Path, data: Path) -> Path:
    """The export as Labelbox wrote it until 2023: one JSON array."""
    exported = [
        {
            "ID": f"label-{number}",
            "DataRow ID": f"row-{number}",
            "Labeled Data": f"https://example.org/{number}.jpg?signature={number}",
            "Label": {
                "objects": [
                    {
                        "featureId": f"feature-{number}-{place}",
                        "schemaId": "schema",
                        "color": "#ff0000",
                        "title": one["name"],
                        "value": one["name"],
                        "bbox": one["bounding_box"],
                        "instanceURI": "https://example.org/mask",
                    }
                    for place, one in enumerate(objects(row))
                ],
                "classifications": [],
            },
            "Created By": "someone@example.org",
            "Project Name": "Dobble",
            "Seconds to Label": 12.5,
            "External ID": row["data_row"]["external_id"],
            "Skipped": False,
        }
        for number, row in enumerate(rows(data))
    ]
    path.write_text(json.dumps(exported), encoding="utf-8")
    return path


def write_v2(path: Path, data: Path) -> Path:
    """The export of today: a row a line, here from new to old and with all that changes every time."""
    lines = []
    for number, row in enumerate(reversed(rows(data))):
        row["data_row"]["details"] = {"updated_at": f"2025-01-01T00:00:{number:02d}"}
        row["data_row"]["row_data"] = f"https://example.org/{number}.jpg?signature={number}"
        (project,) = row["projects"].values()
        project["labels"][0]["label_details"] = {"created_at": f"2025-01-01T00:00:{number:02d}"}
        project["labels"][0]["performance_details"] = {"seconds_to_create": number, "skipped": False}
        project["project_details"] = {"workflow_history": [{"action": "Move"}]}
        lines.append(json.dumps(row) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def projects(game_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two projects' folders, from the first and from the second generation, with their data split."""
    folders = tmp_path_factory.mktemp("v1"), tmp_path_factory.mktemp("v2")
    for folder, write, name in zip(folders, (write_v1, write_v2), ("old.json", "new.ndjson"), strict=True):
        write_params(folder, train={"epochs": 1})
        write(folder / name, game_data)
        assert "28 photos, 84 boxes" in dobble(folder, "import", name, str(game_data / "images"))
        dobble(folder, "convert")
        dobble(folder, "split")
    return folders


def test_both_generations_of_an_export_give_the_same_data_set(
    projects: tuple[Path, Path], game_data: Path
) -> None:
    first, second = projects
    voc = files_of(first / "build/voc")
    assert len([name for name in voc if name.startswith("JPEGImages/")]) == 28
    other = files_of(second / "build/voc")
    summaries = [json.loads(files.pop("summary.json")) for files in (voc, other)]
    assert voc == other
    # The older generation does not name the project, by which photos of a made-up deck are known.
    assert len(summaries[0].pop("made_up") + summaries[1].pop("made_up")) == 28
    assert summaries[0] == summaries[1]
    assert files_of(first / "build/splits") == files_of(second / "build/splits")
    for folder in projects:
        assert files_of(folder / "data/images") == files_of(game_data / "images")


def test_from_an_export_to_a_played_match(projects: tuple[Path, Path], game_data: Path) -> None:
    _, folder = projects
    assert "28 photos, 0 errors" in dobble(folder, "validate")
    assert "best epoch 1 of 1" in dobble(folder, "train")
    assert "deck of 7 cards" in dobble(folder, "export")
    assert "7 photos" in dobble(folder, "evaluate")

    bundle = load_bundle(str(folder / "build/bundle"))
    assert bundle.labels == SYMBOLS
    metrics = json.loads((folder / "build/evaluation/metrics.json").read_text(encoding="utf-8"))
    assert metrics["onnx_difference"] <= 1e-5
    assert (folder / "build/evaluation/report/report.html").is_file()
    assert "one card" in dobble(folder, "summary")

    photos = [str(game_data / f"images/deck00_card0{card}.jpg") for card in (0, 1)]
    answer, picture = dobble(folder, "play", *photos).splitlines()
    assert answer.startswith(("no answer: ", *SYMBOLS))
    assert picture == "picture: match.jpg"
    assert (folder / "match.jpg").read_bytes().startswith(b"\xff\xd8")
    assert sorted(path.name for path in (folder / "build").iterdir()) == [
        "bundle", "evaluation", "splits", "train", "validation", "voc"
    ]  # fmt: skip


def test_photos_without_symbols_go_the_whole_way_in_every_split(game_data: Path, tmp_path: Path) -> None:
    write_params(tmp_path, train={"epochs": 1})
    photos = tmp_path / "photos"
    shutil.copytree(game_data / "images", photos)
    exported = rows(game_data)
    for session in range(4):
        bare = json.loads(json.dumps(exported[0]))
        bare["data_row"] |= {"id": f"bare-{session}", "external_id": f"deck{session:02d}_bare.jpg"}
        objects(bare).clear()
        table = np.random.default_rng(session).integers(40, 90, (240, 240, 3)).astype(np.uint8)
        assert cv2.imwrite(str(photos / f"deck{session:02d}_bare.jpg"), table)
        exported.append(bare)
    (tmp_path / "export.ndjson").write_text("".join(json.dumps(row) + "\n" for row in exported))
    assert "32 photos, 84 boxes, 4 photos without symbols" in dobble(
        tmp_path, "import", "export.ndjson", "photos"
    )
    pattern = r"deck(?P<deck>\d+)_(card)?(?P<card>\w+)"
    write_params(tmp_path, train={"epochs": 1}, split={"group_pattern": pattern})
    assert "4 photos without symbols" in dobble(tmp_path, "convert")
    assert "train 16 photos of 2 decks, val 8 photos of 1 decks, test 8" in dobble(tmp_path, "split")
    assert "32 photos, 0 errors" in dobble(tmp_path, "validate")
    assert "best epoch 1 of 1" in dobble(tmp_path, "train")
    assert "deck of 7 cards" in dobble(tmp_path, "export")
    assert "8 photos" in dobble(tmp_path, "evaluate")
    metrics = json.loads((tmp_path / "build/evaluation/metrics.json").read_text(encoding="utf-8"))
    assert metrics["pairs"] == 21  # of the seven cards; an empty table shares nothing with a card
