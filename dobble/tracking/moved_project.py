"""Brings what MLflow recorded about places up to date when the project has been moved or copied."""

import sqlite3
from contextlib import closing
from pathlib import Path

from dobble.paths import STATE

# MLflow keeps the whole address of each folder of artifacts.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def mend_moved(database: Path, artifacts: Path) -> bool:
    """Have a project's own database name the folder where artifacts are now; say whether it named another.

    Args:
        database: MLflow's, in the project's `.dobble`.
        artifacts: the folder beside it.

    Raises:
        sqlite3.Error: if the database cannot be read or written.
    """
    if not database.is_file():
        return False
    here, tail = artifacts.absolute().as_uri(), f"/{STATE / artifacts.name}"
    with closing(sqlite3.connect(database)) as connection, connection:
        known = {(table, column) for table, column in _PLACES if column in _columns(connection, table)}
        if ("experiments", "artifact_location") not in known:
            return False  # MLflow has not made its tables yet
        told = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        left = {place for (place,) in told if place and place.endswith(tail) and place != here}
        for before in left:
            for table, column in known:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?)"  # noqa: S608 - names of ours
                    f" WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (here, len(before) + 1, before, len(before) + 1, f"{before}/"),
                )
    return bool(left)


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
