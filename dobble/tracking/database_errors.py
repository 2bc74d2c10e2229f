"""Turns what SQLite says of the file that keeps runs and models into an error with a cure."""

import sqlite3

from dobble.tracking.errors import TrackingDatabaseError, TrackingLockedError


def database_error(error: BaseException | None, address: str) -> TrackingDatabaseError | None:
    """Give the error that names the file and the cure, None if SQLite is not what an error goes back to.

    Args:
        error: MLflow's or SQLAlchemy's.
        address: of the database, `sqlite:///` and the file's path.
    """
    while error is not None and not isinstance(error, sqlite3.Error):
        error = error.__cause__ or error.__context__
    if error is None:
        return None
    path = address.partition("///")[2]
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the higher bits only say where it happened
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return TrackingLockedError(path, "is locked by another program", "wait for its end, and run it again")
    if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
        return TrackingDatabaseError(path, "cannot grow", "make room on its disk, and run it again")
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        cure = "move it away; `dobble register` puts what is in build/ into a new one"
        return TrackingDatabaseError(path, "is damaged, or no database", cure)
    return TrackingDatabaseError(path, f"cannot be used ({error})", "check that you may write to its folder")
