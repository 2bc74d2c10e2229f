"""Keeps the newest runs in Prefect's database of this folder and forgets the others."""

import sqlite3
from contextlib import closing
from pathlib import Path

KEPT_RUNS = 50

# Whatever belongs to a run goes with it, except what these statements name.
_STATEMENTS = """
PRAGMA foreign_keys = ON;
BEGIN IMMEDIATE;
DELETE FROM flow_run WHERE state_type IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')
    AND id NOT IN (SELECT id FROM flow_run ORDER BY created DESC LIMIT {kept});
DELETE FROM log WHERE flow_run_id NOT IN (SELECT id FROM flow_run);
DELETE FROM artifact WHERE flow_run_id NOT IN (SELECT id FROM flow_run);
DELETE FROM artifact_collection WHERE latest_id NOT IN (SELECT id FROM artifact);
DELETE FROM event_resources WHERE occurred < (SELECT min(created) FROM flow_run);
DELETE FROM events WHERE occurred < (SELECT min(created) FROM flow_run);
COMMIT;
PRAGMA wal_checkpoint(TRUNCATE);
"""


def forget_old_runs(database: Path, kept: int = KEPT_RUNS) -> None:
    """Delete all but the newest finished runs; SQLite uses the space again. No server may be running.

    Args:
        database: its file, of this project alone.
        kept: number of runs, a flow within a flow counted as well.
    """
    if not database.is_file():
        return
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'flow_run'").fetchone()[0]:
            connection.executescript(_STATEMENTS.format(kept=int(kept)))
