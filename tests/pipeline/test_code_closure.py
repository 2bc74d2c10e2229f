"""A module to the files that decide what it computes, which are the dependencies of its stage."""

from pathlib import Path

import pytest
import yaml

from dobble.pipeline import code_closure
from dobble.pipeline.code_closure import code_digest

ROOT = Path(__file__).parents[2]
STAGES = {
    "convert": "dobble.data.convert",
    "split": "dobble.data.split",
    "validate": "dobble.validation.validate",
    "train": "dobble.detector.train",
    "export": "dobble.detector.export",
    "evaluate": "dobble.evaluation.evaluate",
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own: `dobble.a` needs b at once, c lazily and d for its types; nobody needs e."""
    sources = {
        "dobble/a.py": "from dobble import b\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "    from dobble.d import D\ndef f():\n    import dobble.room.c\n",
        "dobble/b.py": "import numpy\nfrom dobble.a import f\nfrom dobble.errors import DobbleError\n",
        "dobble/room/__init__.py": "",
        "dobble/room/c.py": "",
        "dobble/d.py": "",
        "dobble/e.py": "",
        "dobble/errors.py": "",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code_closure, "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_all_code_that_it_runs_and_on_no_other(stage: str) -> None:
    described = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert set(described) == set(STAGES)
    listed = {dep for dep in described[stage]["deps"] if dep.endswith(".py")}
    closure = code_closure.code_closure(STAGES[stage])
    assert listed == {path.relative_to(ROOT).as_posix() for path in closure}


def test_what_is_imported_lazily_counts_and_what_serves_types_or_messages_does_not(tree: Path) -> None:
    assert code_closure.code_closure("dobble.a") == [
        tree / f"dobble/{name}.py" for name in ("a", "b", "room/c")
    ]


@pytest.mark.parametrize(("name", "same"), [("b", False), ("room/c", False), ("e", True), ("errors", True)])
def test_hash_of_code_follows_each_file_of_it_and_no_other(tree: Path, name: str, same: bool) -> None:
    before = code_digest("dobble.a")
    (tree / f"dobble/{name}.py").write_text("changed = True\n")
    assert (code_digest("dobble.a") == before) is same
