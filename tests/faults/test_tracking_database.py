"""The file that keeps runs and models, when it cannot be used."""

import sqlite3
from pathlib import Path

import pytest
from pipelines import full_disk

from dobble.paths import MLFLOW_DATABASE
from dobble.tracking.errors import TrackingDatabaseError, TrackingLockedError
from dobble.tracking.mlflow_client import open_mlflow


@pytest.fixture(autouse=True)
def _of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_garbage_is_named_with_what_to_do_and_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / MLFLOW_DATABASE
    path.parent.mkdir()
    path.write_bytes(b"garbage" * 100)
    with (
        pytest.raises(TrackingDatabaseError, match=r"mlflow\.db is damaged, or no database: move it away"),
        open_mlflow(tmp_path),
    ):
        pass
    assert path.read_bytes() == b"garbage" * 100


def test_full_disk_is_named_with_what_to_do(tmp_path: Path) -> None:
    with (
        full_disk(50_000),
        pytest.raises(TrackingDatabaseError, match=r"mlflow\.db cannot grow: make room on its disk"),
        open_mlflow(tmp_path),
    ):
        pass


def test_lock_of_another_program_is_named_and_passes(tmp_path: Path) -> None:
    with open_mlflow(tmp_path):
        pass
    other = sqlite3.connect(tmp_path / MLFLOW_DATABASE)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with (
            pytest.raises(TrackingLockedError, match=r"mlflow\.db is locked by another program") as error,
            open_mlflow(tmp_path),
        ):
            pass
        assert error.value.passing
    finally:
        other.close()
