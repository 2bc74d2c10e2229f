"""Where flows take `data/` from, and what they never do unasked."""

from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from dobble.errors import ReplaceDataError
from flows.sources import Export, Pinned, Source, fetch

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["data", "pipeline", "nightly"])
def test_flow_that_is_told_no_source_takes_what_is_pinned(name: str) -> None:
    flow = getattr(import_module(f"flows.{name}"), name)
    assert signature(flow.fn).parameters["source"].default == Pinned()


def test_deployed_flow_that_is_told_no_source_takes_what_is_pinned() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    given = [made["parameters"]["source"] for made in deployments if "parameters" in made]
    assert [TypeAdapter(Source).validate_python(source) for source in given] == [Pinned()] * 3


def test_fetch_replaces_what_nothing_keeps_only_if_its_source_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/notes.txt").write_text("somebody's own")
    (tmp_path / "export.ndjson").write_text('{"data_row": {"external_id": "a.jpg"}, "projects": {}}\n')
    source = Export(file="export.ndjson", images="photos")
    with pytest.raises(ReplaceDataError, match="data holds 1 other files"):
        fetch.fn(source)
    assert (tmp_path / "data/notes.txt").read_text() == "somebody's own"
