"""A project in which every stage has run, as what is logged and registered."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dobble.storage.pins import listing_name
from dobble.storage.places import file_md5

RULE = {"metric": "mAP", "margin": 0.05, "minimum": 0.2}
PASSED = {"passed": True, "photos": 28}
STAGES: dict[str, dict[str, Any]] = {
    "convert": {"deps": ["data"], "outs": ["build/voc"], "params": "convert"},
    "split": {"deps": ["build/voc"], "outs": ["build/splits"], "params": "split"},
    "train": {"deps": ["build/voc", "build/splits"], "outs": ["build/train"], "params": "train"},
    "export": {"deps": ["build/train"], "outs": ["build/bundle"], "params": "export"},
    "evaluate": {
        "deps": ["build/bundle", "build/splits", "build/voc"],
        "outs": [f"build/evaluation/{name}" for name in ("metrics.json", "outcomes", "plots", "report")],
        "params": "evaluate",
    },
}


@dataclass(frozen=True)
class Project:
    """A folder in which every stage has run."""

    root: Path

    def set_param(self, block: str, name: str, value: object) -> None:
        values = yaml.safe_load((self.root / "params.yaml").read_text(encoding="utf-8"))
        values[block][name] = value
        (self.root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")

    def rerun(self, *, bundle: str | None = None, **metrics: float) -> None:
        """Put another bundle and other metrics in the place of the present ones, as if stages had run."""
        if bundle is not None:
            self.edit("build/bundle/manifest.json", git_revision=bundle)
        self.edit("build/evaluation/metrics.json", **metrics)
        self.lock()

    def edit(self, name: str, **values: object) -> None:
        path = self.root / name
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(content | values), encoding="utf-8")

    def lock(self) -> None:
        """Write `dvc.lock` as DVC would after running the stages."""
        params = yaml.safe_load((self.root / "params.yaml").read_text(encoding="utf-8"))
        stages = {
            name: {
                "cmd": f"dobble {name}",
                "deps": [{"path": path, "md5": self._md5(path)} for path in stage["deps"]],
                "params": {"params.yaml": {stage["params"]: params[stage["params"]]}},
                "outs": [{"path": path, "md5": self._md5(path)} for path in stage["outs"]],
            }
            for name, stage in STAGES.items()
        }
        (self.root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", *arguments],
            cwd=self.root, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    def _md5(self, name: str) -> str:
        path = self.root / name
        if path.is_file():
            return file_md5(path)
        files = (file for file in path.rglob("*") if file.is_file())
        return listing_name({file.relative_to(path).as_posix(): file_md5(file) for file in files})
