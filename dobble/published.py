"""Remembers which result MLflow has as which version, so that a run that changes nothing asks nobody."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from dobble.env import tracking_address
from dobble.files import replaced_file
from dobble.mlflow_client import without_password
from dobble.results import LOCK, read_yaml, result_id
from dobble.stack import STATE

RECORD = STATE / "published.json"


@dataclass(frozen=True)
class Publication:
    """A result in MLflow: pages are None if no server shows them, `decision` is the rule's reason."""

    result: str
    tracking: str
    run: str
    run_page: str | None
    version: str
    version_page: str | None
    decision: str


def current_result(root: Path = Path()) -> str:
    """Give the id of the result in `dvc.lock`.

    Raises:
        MissingInputError: if there is none.
    """
    return result_id(read_yaml(root / LOCK))


def tracking_name() -> str:
    """Say where runs are logged to."""
    return without_password(tracking_address() or "")


def find_publication(root: Path = Path()) -> Publication | None:
    """Give what MLflow made of the result in `dvc.lock`, None if it was not published from here."""
    try:
        found = Publication(**json.loads((root / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    same = (found.result, found.tracking) == (current_result(root), tracking_name())
    return found if same else None


def record_publication(publication: Publication, root: Path = Path()) -> None:
    """Keep it for the next run."""
    with replaced_file(root / RECORD) as side:
        side.write_text(json.dumps(asdict(publication), indent=2) + "\n", encoding="utf-8")
