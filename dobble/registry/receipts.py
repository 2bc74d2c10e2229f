"""Remembers which result MLflow has as which version, so that a run that changes nothing does nothing."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from dobble.env import experiment_name, tracking_address
from dobble.files import replaced_file
from dobble.params import load_params
from dobble.paths import PARAMS, PIPELINE_LOCK, RECEIPT
from dobble.registry.versions import is_registered
from dobble.storage.pins import read_yaml
from dobble.tracking.mlflow_client import without_password


@dataclass(frozen=True)
class Publication:
    """A result in MLflow: pages are None if no server shows them, `decision` is the rule's reason."""

    key: str
    run: str
    run_page: str | None
    version: str
    version_page: str | None
    decision: str


def publication_key(root: Path = Path()) -> str:
    """Hash all that decides what is published where: every stage in `dvc.lock`, the limits, and the address.

    Raises:
        MissingInputError: if there is no `dvc.lock`.
        ParameterError: if `params.yaml` is wrong.
    """
    params = load_params(root / PARAMS)
    facts = [
        read_yaml(root / PIPELINE_LOCK).get("stages"),
        params.accept.model_dump(),
        params.registry.model_dump(),
        without_password(tracking_address() or ""),
        experiment_name(),
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def find_publication(root: Path = Path()) -> Publication | None:
    """Give what MLflow has of the result in `dvc.lock`; None if it was not published from here, or is gone.

    Raises:
        TrackingError: if MLflow is away or refuses.
    """
    try:
        found = Publication(**json.loads((root / RECEIPT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    same = found.key == publication_key(root) and is_registered(found.version, root)
    return found if same else None


def record_publication(publication: Publication, root: Path = Path()) -> None:
    """Keep it for the next run."""
    with replaced_file(root / RECEIPT) as side:
        side.write_text(json.dumps(asdict(publication), indent=2) + "\n", encoding="utf-8")
