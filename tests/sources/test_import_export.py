"""Exports and folders of photos to raw data."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from dobble.errors import BadRowsError, ExportError, MissingInputError, OutputError, ReplaceDataError
from dobble.sources.import_export import ImportSummary, canonical_row, import_export

BOX = {"left": 2, "top": 3, "width": 10, "height": 12}
OBJECT = {"name": "anchor", "feature_id": "f", "annotation_kind": "ImageBoundingBox", "bounding_box": BOX}


def row(name, signature="1", boxes=(OBJECT,), **changes):
    return {
        "data_row": {
            "id": f"id-{name}",
            "external_id": name,
            "row_data": f"https://user:key@example.org/{name}?Signature={signature}#part",
            "details": {"updated_at": signature, "created_at": signature},
        },
        "media_attributes": {"width": 40, "height": 30, "mime_type": "image/jpeg"},
        "metadata_fields": [{"name": "deck", "value": "3"}],
        "last_activity_at": signature,
        "projects": {
            "p1": {
                "name": "Dobble",
                "labels": [
                    {
                        "id": "l",
                        "label_kind": "Default",
                        "version": "1.0.0",
                        "label_details": {"created_at": "2024-01-01", "updated_at": signature, "reviews": []},
                        "performance_details": {"seconds_to_create": int(signature), "skipped": False},
                        "annotations": {"objects": list(boxes), "classifications": [], "relationships": []},
                    }
                ],
                "project_details": {"workflow_history": [{"created_at": signature}]},
            }
        },
        **changes,
    }


def draw(path, size=(40, 30), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def given(tmp_path):
    """Two photos, one in a folder, and an export that names them in the wrong order."""
    draw(tmp_path / "photos" / "b.jpg", quality=70)
    draw(tmp_path / "photos" / "deck" / "a.png")
    write(tmp_path, row("deck/a.png"), row("b.jpg"))
    return tmp_path


def write(folder, *rows):
    (folder / "export.ndjson").write_text("".join(json.dumps(entry) + "\n" for entry in rows))


def run(folder, **arguments):
    return import_export(folder / "export.ndjson", folder / "photos", folder / "data", **arguments)


def snapshot(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_photos_arrive_byte_for_byte_beside_a_sorted_export(given):
    assert run(given) == ImportSummary(
        photos=2, boxes=2, negatives=0, unlabelled=0, rejected=0, left_out=(), elsewhere={}
    )
    files = snapshot(given / "data")
    assert set(files) == {"export.ndjson", "images/b.jpg", "images/deck/a.png"}
    for name in ("b.jpg", "deck/a.png"):
        assert files[f"images/{name}"] == (given / "photos" / name).read_bytes()
    lines = files["export.ndjson"].decode().splitlines()
    assert [json.loads(line)["data_row"]["external_id"] for line in lines] == ["b.jpg", "deck/a.png"]


def test_originals_are_copied_so_that_neither_side_changes_with_the_other(given):
    original = given / "photos" / "b.jpg"
    before = original.read_bytes()
    (given / ".dvc").mkdir()  # even a folder of photos inside the project is somebody's own
    run(given)
    assert original.stat().st_nlink == 1
    original.write_bytes(b"edited")
    assert (given / "data" / "images" / "b.jpg").read_bytes() == before


def test_relative_links_in_a_folder_of_photos_arrive_as_the_photos_they_lead_to(given):
    (given / "photos" / "b.jpg").rename(given / "elsewhere.jpg")
    (given / "photos" / "b.jpg").symlink_to("../elsewhere.jpg")
    run(given)
    arrived = given / "data" / "images" / "b.jpg"
    assert not arrived.is_symlink()
    assert arrived.read_bytes() == (given / "elsewhere.jpg").read_bytes()


def test_export_of_another_day_gives_the_same_bytes(given):
    run(given)
    first = snapshot(given / "data")
    write(given, row("b.jpg", signature="2"), row("deck/a.png", signature="3"))
    run(given, replace=True)
    assert snapshot(given / "data") == first


def test_canonical_row_keeps_the_labels_and_drops_what_changes():
    assert canonical_row(row("a.jpg")) == {
        "data_row": {"id": "id-a.jpg", "external_id": "a.jpg", "row_data": "https://example.org/a.jpg"},
        "media_attributes": {"width": 40, "height": 30, "mime_type": "image/jpeg"},
        "metadata_fields": [{"name": "deck", "value": "3"}],
        "projects": {
            "p1": {
                "name": "Dobble",
                "labels": [
                    {
                        "id": "l",
                        "label_kind": "Default",
                        "version": "1.0.0",
                        "annotations": {"objects": [OBJECT]},
                    }
                ],
            }
        },
    }


def test_canonical_row_is_its_own_canonical_form():
    once = canonical_row(row("a.jpg"))
    assert canonical_row(once) == once


def test_canonical_labels_begin_with_the_reference_and_leave_out_the_skipped():
    labels = [
        {"id": "young", "label_details": {"created_at": "2024-03-03"}},
        {"id": "skipped", "performance_details": {"skipped": True}},
        {"id": "reference", "label_details": {"created_at": "2024-04-04", "is_benchmark_reference": True}},
        {"id": "old", "label_details": {"created_at": "2024-01-01"}},
    ]
    kept = canonical_row(row("a.jpg", projects={"p1": {"labels": labels}}))["projects"]["p1"]["labels"]
    assert [label["id"] for label in kept] == ["reference", "old", "young"]
    assert kept[0]["label_details"] == {"is_benchmark_reference": True}


def test_second_label_of_another_form_is_refused_by_name(given):
    labels = [*row("b.jpg")["projects"]["p1"]["labels"], {"id": "m", "annotations": {"objects": [3]}}]
    write(given, row("b.jpg", projects={"p1": {"labels": labels}}))
    with pytest.raises(BadRowsError) as caught:
        run(given)
    assert caught.value.problems == ((1, "b.jpg", "objects holds something that is no object"),)


def test_chosen_project_is_the_only_one_kept(given):
    projects = {**row("b.jpg")["projects"], "p2": {"labels": []}}
    write(given, row("b.jpg", projects=projects))
    run(given, project="p2")
    (line,) = (given / "data" / "export.ndjson").read_text().splitlines()
    assert list(json.loads(line)["projects"]) == ["p2"]


def test_unknown_project_is_refused_with_the_known_ones(given):
    with pytest.raises(ExportError, match=r"no row is of project 'p3' \(projects: p1\)"):
        run(given, project="p3")


def test_photo_is_found_by_its_last_part_alone(given):
    (given / "photos" / "deck" / "a.png").rename(given / "photos" / "a.png")
    summary = run(given)
    assert summary.elsewhere == {"deck/a.png": given / "photos" / "a.png"}
    assert "deck/a.png" in summary.notes[0]
    assert (given / "data" / "images" / "deck" / "a.png").is_file()


def test_photo_of_another_folder_is_not_taken(given):
    draw(given / "photos" / "x" / "a.png")
    draw(given / "photos" / "y" / "a.png")
    (given / "photos" / "deck" / "a.png").unlink()
    with pytest.raises(BadRowsError, match=r"deck/a\.png +is nowhere in"):
        run(given)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def cut_the_end(path):
    path.write_bytes(path.read_bytes()[:-4])


def other(path):
    path.write_text("no picture")


def huge(path):
    # A header alone: what it claims must be refused before any pixel is asked for.
    head = (
        b"BM"
        + (54).to_bytes(4, "little")
        + bytes(4)
        + (54).to_bytes(4, "little")
        + (40).to_bytes(4, "little")
    )
    size = (20_000).to_bytes(4, "little") * 2
    path.write_bytes(head + size + b"\x01\x00\x18\x00" + bytes(24))


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("b.jpg", cut, "is cut short or damaged"),
        ("b.jpg", cut_the_end, "is cut short or damaged"),
        ("deck/a.png", cut, "is cut short or damaged"),
        ("deck/a.png", cut_the_end, "is cut short or damaged"),
        ("b.jpg", other, "is no JPEG, PNG, WebP, BMP or TIFF picture"),
        ("b.jpg", huge, "megapixels: scale it down"),
        ("b.jpg", lambda path: path.unlink(), "is nowhere in"),
    ],
    ids=[
        "cut JPEG",
        "JPEG without its end",
        "cut PNG",
        "PNG without its end",
        "no picture",
        "huge",
        "missing",
    ],
)
def test_photo_that_cannot_be_used_is_named_and_earlier_data_stay(given, name, damage, message):
    run(given)
    before = snapshot(given / "data")
    (given / "photos" / name).rename(given / "kept")
    (given / "photos" / name).write_bytes((given / "kept").read_bytes())
    damage(given / "photos" / name)
    with pytest.raises(BadRowsError) as caught:
        run(given, replace=True)
    ((_, photo, problem),) = caught.value.problems
    assert photo == name
    assert message in problem
    assert snapshot(given / "data") == before
    left = ["data", "data-problems.csv", "export.ndjson", "kept", "photos"]
    assert sorted(path.name for path in given.iterdir()) == left


def test_all_rows_with_problems_are_told_at_once_in_a_table_and_a_file(given):
    cut(given / "photos" / "deck" / "a.png")
    flat = {**OBJECT, "bounding_box": {**BOX, "height": 0}}
    outside = {**OBJECT, "bounding_box": {**BOX, "left": 99}}
    drawn = {"kind": {**OBJECT, "annotation_kind": "ImagePolygon"}, "flat": flat, "outside": outside}
    for name in drawn:
        draw(given / "photos" / f"{name}.jpg")
    write(
        given,
        row("deck/a.png"),
        row("b.jpg"),
        *(row(f"{name}.jpg", boxes=[box]) for name, box in drawn.items()),
    )
    with (given / "export.ndjson").open("a") as stream:
        stream.write('{"data_row"')
    with pytest.raises(BadRowsError) as caught:
        run(given)
    assert [(number, photo) for number, photo, _ in caught.value.problems] == [
        (1, "deck/a.png"),
        (3, "kind.jpg"),
        (4, "flat.jpg"),
        (5, "outside.jpg"),
        (6, ""),
    ]
    first, *table = str(caught.value).splitlines()
    assert "5 rows cannot be used" in first
    assert "--skip-bad" in first
    assert [line.split()[:2] for line in table] == [["row", str(number)] for number in (1, 3, 4, 5, 6)]
    listed = list(csv.DictReader((given / "data-problems.csv").open(newline="")))
    assert [(entry["row"], entry["photo"]) for entry in listed] == [
        (str(number), photo) for number, photo, _ in caught.value.problems
    ]
    assert not (given / "data").exists()


def test_rows_with_problems_are_left_out_by_name_if_asked(given):
    cut(given / "photos" / "deck" / "a.png")
    summary = run(given, skip_bad=True)
    assert (summary.photos, [photo for _, photo, _ in summary.left_out]) == (1, ["deck/a.png"])
    assert any("deck/a.png" in line for line in summary.notes)
    assert set(snapshot(given / "data")) == {"export.ndjson", "images/b.jpg"}
    assert "deck/a.png" not in (given / "data" / "export.ndjson").read_text()
    draw(given / "photos" / "deck" / "a.png")
    assert run(given, replace=True).photos == 2
    assert not (given / "data-problems.csv").exists()


def test_nothing_is_written_if_no_row_can_be_used(given):
    write(given, row("nowhere.jpg"))
    with pytest.raises(ExportError, match="has no row that can be used"):
        run(given, skip_bad=True)
    assert not (given / "data").exists()


def test_more_problems_than_fit_are_counted(given):
    write(given, *(row(f"{number}.jpg") for number in range(25)))
    with pytest.raises(BadRowsError, match=r"… and 5 more$"):
        run(given)


def test_photos_with_nothing_on_them_and_rejected_labels_are_counted(given):
    rejected = row("deck/a.png")
    rejected["projects"]["p1"]["labels"][0]["label_details"]["reviews"] = [{"score": -1}]
    write(given, row("b.jpg", boxes=[]), rejected)
    summary = run(given)
    assert (summary.negatives, summary.unlabelled, summary.rejected) == (1, 1, 1)
    first, second = map(json.loads, (given / "data" / "export.ndjson").read_text().splitlines())
    assert len(first["projects"]["p1"]["labels"]) == 1
    assert second["projects"]["p1"]["labels"] == []


def test_rows_of_one_data_row_are_labels_of_one_photo(given):
    other = row("b.jpg")
    other["projects"]["p1"]["labels"][0]["id"] = "m"
    write(given, row("b.jpg"), row("deck/a.png"), other, row("b.jpg"))
    assert run(given).photos == 2
    first, _ = map(json.loads, (given / "data" / "export.ndjson").read_text().splitlines())
    assert [label["id"] for label in first["projects"]["p1"]["labels"]] == ["l", "m"]


def test_external_id_never_leads_out_of_the_data(given):
    write(given, row("../../outside.jpg"))
    with pytest.raises(BadRowsError, match="leaves its folder"):
        run(given)
    assert not (given / "data").exists()


def test_missing_export_is_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"export\.ndjson does not exist"):
        run(tmp_path)


def test_place_that_cannot_be_written_is_named(given):
    (given / "file").write_text("in the way")
    with pytest.raises(OutputError, match="data could not be written"):
        import_export(given / "export.ndjson", given / "photos", given / "file" / "data")


def given_more(folder, *rows):
    for entry in rows:
        draw(folder / "more" / entry["data_row"]["external_id"])
    (folder / "more.ndjson").write_text("".join(json.dumps(entry) + "\n" for entry in rows))


def add(folder, **arguments):
    return import_export(folder / "more.ndjson", folder / "more", folder / "data", add=True, **arguments)


def test_photos_of_another_project_are_added_to_those_that_are_there(given):
    run(given)
    before = snapshot(given / "data")
    other = row("a.jpg")
    other["projects"] = {"p2": other["projects"]["p1"]}
    given_more(given, other)
    assert add(given, project="p2").photos == 3
    after = snapshot(given / "data")
    assert set(after) == {*before, "images/a.jpg"}
    assert all(after[name] == before[name] for name in before if name != "export.ndjson")
    rows = [json.loads(line) for line in after["export.ndjson"].splitlines()]
    assert [list(entry["projects"]) for entry in rows] == [["p2"], ["p1"], ["p1"]]
    assert set(before["export.ndjson"].splitlines()) < set(after["export.ndjson"].splitlines())


@pytest.mark.parametrize("name", ["b.jpg", "B.JPG", "deck--a.png"])
def test_photo_whose_name_the_data_have_already_is_not_added(given, name):
    run(given)
    before = snapshot(given / "data")
    given_more(given, row(name), row("new.jpg"))
    with pytest.raises(BadRowsError, match=r"row 1 .*is in the data already, as '(b\.jpg|deck/a\.png)'"):
        add(given)
    assert snapshot(given / "data") == before
    assert add(given, skip_bad=True).photos == 3
    assert (given / "data/images/new.jpg").is_file()


def test_nothing_is_added_to_a_folder_whose_other_files_would_go(given):
    run(given)
    (given / "data" / "notes.txt").write_text("mine")
    given_more(given, row("new.jpg"))
    with pytest.raises(ReplaceDataError, match=r"notes\.txt"):
        add(given)
    assert (given / "data" / "notes.txt").read_text() == "mine"


def test_nothing_is_added_where_there_are_no_data(given):
    given_more(given, row("new.jpg"))
    with pytest.raises(MissingInputError, match=r"data/export\.ndjson"):
        add(given)
    assert not (given / "data").exists()
