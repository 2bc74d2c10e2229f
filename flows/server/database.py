"""Makes Prefect's database of a project, or brings it to this version of Prefect, whole or not at all."""

import fcntl
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from dobble.errors import ServiceError
from dobble.files import replaced_file
from dobble.paths import PREFECT_HOME

_ELSEWHERE = ("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL")


def own_database(root: Path = Path()) -> Path | None:
    """Give the file of a project's own Prefect database.

    None if the environment names another PREFECT_HOME or database: what is in it may be other projects', and
    is never changed from here.
    """
    home = (root / PREFECT_HOME).resolve()
    if Path(os.environ["PREFECT_HOME"]).resolve() != home or any(name in os.environ for name in _ELSEWHERE):
        return None
    return home / "prefect.db"


def prepare_database(database: Path, tell: Callable[[str], object]) -> None:
    """Migrate a database beside its place, so that a start that is broken off leaves none half made.

    One that cannot be migrated, because that has happened to it, is put aside and begun anew: it holds the
    history of runs and nothing else. No server may be running on it.

    Args:
        database: its file, which need not exist.
        tell: given a line for what takes long or is lost.

    Raises:
        ServiceError: if none can be made; then everything is as before.
    """
    made_by, current = database.with_name("migrated"), version("prefect")
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name("migrating").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if database.is_file() and made_by.is_file() and made_by.read_text(encoding="utf-8") == current:
            return
        tell(f"preparing Prefect's database {database} (once; up to minutes on a slow machine)")
        side = database.with_name("prefect.new.db")
        _remove(side)
        known = database.is_file()
        said = _migrated(side, database if known else None)
        if said and known:
            _remove(side)
            said = _migrated(side, None)
            aside = database.with_name("prefect.broken.db")
            if not said:
                tell(f"a start that was broken off left it half made: a new one begins, {aside} keeps it")
                database.replace(aside)
        if said:
            raise ServiceError("Prefect's database", f"cannot be made at {database}", said[-5:])
        if _revision(side) != (_revision(database) if database.is_file() else ""):
            _remove(database)
            side.replace(database)
        _remove(side)
        with replaced_file(made_by) as new:
            new.write_text(current, encoding="utf-8")


def _migrated(side: Path, source: Path | None) -> list[str]:
    """Migrate a copy of a database, or an empty one; give what was said if it fails, else nothing."""
    try:
        with closing(sqlite3.connect(side)) as copy:
            if source is not None:
                with closing(sqlite3.connect(source)) as original:
                    original.backup(copy)
    except sqlite3.Error as error:
        return [str(error)]
    command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
    environment = {**os.environ, _ELSEWHERE[1]: f"sqlite+aiosqlite:///{side}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        return (done.stdout + done.stderr).strip().splitlines() or [f"exit status {done.returncode}"]
    with closing(sqlite3.connect(side)) as copy:
        copy.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return []


def _revision(database: Path) -> str:
    """Give the migration that a database was brought to."""
    try:
        with closing(sqlite3.connect(database)) as connection:
            return str(connection.execute("SELECT version_num FROM alembic_version").fetchone())
    except sqlite3.Error:
        return ""


def _remove(database: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        database.with_name(database.name + ending).unlink(missing_ok=True)
