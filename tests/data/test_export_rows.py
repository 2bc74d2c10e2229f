"""Exports of every packing, and rows of one data row."""

import gzip
import json

import pytest

from dobble.data.export_rows import joined_rows, read_rows
from dobble.errors import ExportError


def row(name, data_row=None, *labels):
    projects = {"p": {"name": "Dobble", "labels": [{"id": label} for label in labels]}}
    return {"data_row": {"id": data_row or name, "external_id": name}, "projects": projects}


def v1(name, label, **changes):
    given = {"objects": [{"title": label, "bbox": {}}]}
    return {"ID": label, "DataRow ID": "r1", "External ID": name, "Label": given, **changes}


ROWS = [row("a.jpg"), row("Ünïcode ♠.jpg")]
LINES = "\n".join(json.dumps(entry, ensure_ascii=False) for entry in ROWS)
ARRAY = json.dumps(ROWS, ensure_ascii=False, indent=1)

PACKED = {
    "UTF-16": LINES.encode("utf-16"),
    "UTF-16 without its mark": LINES.encode("utf-16-le"),
    "UTF-16 array": ARRAY.encode("utf-16"),
    "UTF-16 big end first": b"\xfe\xff" + ARRAY.encode("utf-16-be"),
    "UTF-32": LINES.encode("utf-32"),
    "gzip": gzip.compress(LINES.encode()),
    "gzip array of UTF-16": gzip.compress(ARRAY.encode("utf-16")),
    "gzip with a byte order mark": gzip.compress(LINES.encode("utf-8-sig")),
    "commas after lines": LINES.replace("\n", ",\n").encode() + b",\n",
    "comma after the last item": ARRAY.rstrip("]").rstrip().encode() + b",\n]",
    "commas in items": LINES.replace("}}", "},}").encode(),
}


@pytest.mark.parametrize("content", PACKED.values(), ids=PACKED.keys())
def test_rows_are_read_however_they_are_packed(tmp_path, content):
    export = tmp_path / "export"
    export.write_bytes(content)
    assert list(read_rows(export)) == [(1, ROWS[0]), (2, ROWS[1])]


def test_comma_inside_a_text_stays(tmp_path):
    export = tmp_path / "export"
    export.write_text('[{"data_row": {"id": "a, ]", "external_id": "\\",}"}},]')
    assert list(read_rows(export)) == [(1, {"data_row": {"id": "a, ]", "external_id": '",}'}})]


REFUSED = {
    "zip": (b"PK\x03\x04rest", "is a zip file: unpack it"),
    "gzip cut short": (gzip.compress(LINES.encode())[:-20], "is cut short or damaged"),
    "gzip of nothing": (gzip.compress(b""), "has no rows"),
    "UTF-16 cut short": (LINES.encode("utf-16")[:-1], "save it as UTF-8"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_file_that_cannot_be_unpacked_is_refused(tmp_path, content, message):
    export = tmp_path / "export"
    export.write_bytes(content)
    with pytest.raises(ExportError, match=message):
        list(read_rows(export))


def labels_of(joined):
    return [label["id"] for label in joined["projects"]["p"]["labels"]]


def test_rows_of_one_data_row_become_one_with_all_labels(tmp_path):
    rows = enumerate([row("a.jpg", "r1", "one"), row("b.jpg"), row("a.jpg", "r1", "two", "one")], start=1)
    (first, a), (second, b) = joined_rows(tmp_path, rows)
    assert (first, second) == (1, 2)
    assert labels_of(a) == ["one", "two"]
    assert b == row("b.jpg")


def test_labels_of_other_projects_are_joined_too(tmp_path):
    other = {**row("a.jpg", "r1"), "projects": {"q": {"labels": [{"id": "two"}]}}}
    ((_, joined),) = joined_rows(tmp_path, [(1, row("a.jpg", "r1", "one")), (2, other)])
    assert {key: value["labels"] for key, value in joined["projects"].items()} == {
        "p": [{"id": "one"}],
        "q": [{"id": "two"}],
    }


def test_v1_labels_of_one_photo_are_joined_and_a_skipped_one_is_none(tmp_path):
    export = tmp_path / "export"
    items = [v1("a.jpg", "one"), v1("a.jpg", "skip", Label="Skip", Skipped=True), v1("a.jpg", "two")]
    export.write_text(json.dumps(items))
    ((number, joined),) = joined_rows(export, read_rows(export))
    (project,) = joined["projects"].values()
    assert (number, [label["id"] for label in project["labels"]]) == (1, ["one", "two"])


def test_v1_reference_of_a_benchmark_is_known(tmp_path):
    export = tmp_path / "export"
    export.write_text(json.dumps([v1("a.jpg", "one"), v1("a.jpg", "two", **{"Benchmark ID": "two"})]))
    ((_, joined),) = joined_rows(export, read_rows(export))
    (project,) = joined["projects"].values()
    references = [label["label_details"]["is_benchmark_reference"] for label in project["labels"]]
    assert references == [False, True]


def test_data_row_with_two_names_is_reported(tmp_path):
    errors = []
    rows = [(1, row("a.jpg", "r1")), (2, row("b.jpg", "r1"))]
    assert joined_rows(tmp_path, rows, errors.append) == [rows[0]]
    assert str(errors[0]).endswith("has the data row id 'r1' of row 1, which is of 'a.jpg': export again")
