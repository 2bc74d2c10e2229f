"""Says whether what `dvc.lock` records was made of the data that `data.dvc` pins."""

from pathlib import Path

from dobble.paths import DATA, PIPELINE_LOCK
from dobble.pipeline.stages import read_stages
from dobble.storage.pins import outputs, read_yaml


def is_made_of_pinned_data(root: Path = Path()) -> bool:
    """Whether every stage has run, each on what the one before it made, the first on the pinned data.

    Parameters and code play no part.

    Raises:
        StageGraphError: if `dvc.yaml` cannot be read.
    """
    if not (root / PIPELINE_LOCK).is_file():
        return False
    entries = read_yaml(root / PIPELINE_LOCK).get("stages") or {}
    made = {output.path: output.name for output in outputs(root) if output.path == str(DATA)}
    for stage in read_stages(root):
        entry = entries.get(stage.name)
        if entry is None:
            return False
        if any(made.get(dep["path"], dep.get("md5")) != dep.get("md5") for dep in entry.get("deps", [])):
            return False
        made |= {out["path"]: out.get("md5", "") for out in entry.get("outs", [])}
    return True
