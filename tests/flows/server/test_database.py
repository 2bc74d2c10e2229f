"""Which Prefect database is a project's own: only that one is migrated and pruned."""

from pathlib import Path

import pytest

from flows.server.database import own_database
from flows.server.ui import _environment

KEPT = "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"


def test_database_below_the_project_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / ".dobble/prefect"))
    assert own_database(tmp_path) == tmp_path / ".dobble/prefect/prefect.db"
    assert _environment("http://127.0.0.1:4200", tmp_path)[KEPT] == "2592000"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PREFECT_HOME", "/home/somebody/.prefect"),
        ("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://db/prefect"),
        ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:////home/somebody/prefect.db"),
    ],
)
def test_runs_of_a_database_that_others_use_are_never_forgotten(
    variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / ".dobble/prefect"))
    monkeypatch.setenv(variable, value)
    assert own_database(tmp_path) is None
    assert KEPT not in _environment("http://127.0.0.1:4200", tmp_path)
