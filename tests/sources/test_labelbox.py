"""A labelled project, by the real SDK over HTTP, to raw data; the server at the other end is a stand-in."""

import dataclasses
import json
import os
import signal
import tempfile
import threading
import time
from urllib.parse import unquote

import pytest
from labelbox_fixtures import QUICK, picture, quick, snapshot
from labelbox_standin import BUSY, CUT, LOST, Fault, LabelboxStandIn, graphql_error

from dobble import env
from dobble.data.annotations import LabelledBox, read_photos
from dobble.errors import BadRowsError, OutputError, PhotoError
from dobble.sources.download import PhotoStore
from dobble.sources.errors import (
    ApiKeyError,
    EmptyProjectError,
    ExportFailedError,
    ExportUnfinishedError,
    LabelboxError,
    ProjectNotFoundError,
    UnreachableError,
)
from dobble.sources.fetch import FetchSummary, fetch
from dobble.sources.labelbox import LabelboxSettings

PHOTOS = {
    "deck00_card00.jpg": (picture(0), [("anchor", 1.0, 2.0, 10.0, 12.0), ("bird", 20.0, 5.5, 8.0, 9.0)]),
    "deck00_card01.jpg": (picture(1), [("bird", 3.0, 4.0, 11.0, 13.0)]),
    "süd/deck01_card00.jpg": (picture(2), []),
}


@pytest.fixture
def standin():
    with LabelboxStandIn() as server:
        server.add_project("dobblé", PHOTOS)
        yield server


@pytest.fixture
def fetched(standin, tmp_path):
    """The folder that an earlier fetch wrote."""
    fetch("project1", tmp_path / "data", quick(standin))
    standin.counts.clear()
    return tmp_path / "data"


def test_a_project_becomes_an_export_and_its_photos_byte_for_byte(standin, tmp_path):
    done = fetch("project1", tmp_path / "data", quick(standin))
    counts = {"photos": 3, "boxes": 3, "negatives": 1, "unlabelled": 0, "rejected": 0}
    assert done == FetchSummary(**counts, left_out=(), downloaded=3)
    files = snapshot(tmp_path / "data")
    assert set(files) == {"export.ndjson", *(f"images/{name}" for name in PHOTOS)}
    assert all(files[f"images/{name}"] == content for name, (content, _) in PHOTOS.items())
    photos = {photo.external_id: photo.boxes for photo in read_photos(tmp_path / "data/export.ndjson")}
    assert list(photos) == sorted(PHOTOS)
    assert photos["deck00_card00.jpg"] == (
        LabelledBox("anchor", 1.0, 2.0, 10.0, 12.0),
        LabelledBox("bird", 20.0, 5.5, 8.0, 9.0),
    )


def test_another_order_and_other_signatures_change_no_byte_and_fetch_no_photo(standin, fetched):
    before = snapshot(fetched)
    done = fetch("project1", fetched, quick(standin), replace=True)
    first, second = (json.loads(task["rows"].splitlines()[0]) for task in standin.tasks.values())
    assert first["data_row"]["row_data"] != second["data_row"]["row_data"]
    assert first["data_row"]["id"] != second["data_row"]["id"]
    assert snapshot(fetched) == before
    assert (done.downloaded, standin.counts["photo"]) == (0, 0)


def test_a_link_to_a_large_disk_stays_and_nothing_is_kept_beside_it(standin, tmp_path):
    disk, small = tmp_path / "disk", tmp_path / "project"
    (disk / "data").mkdir(parents=True)
    small.mkdir()
    (small / "data").symlink_to("../disk/data")
    fetch("project1", small / "data", quick(standin))
    assert (small / "data").is_symlink()
    assert [path.name for path in small.iterdir()] == ["data"]
    assert set(snapshot(disk / "data")) == {"export.ndjson", *(f"images/{name}" for name in PHOTOS)}
    assert (disk / ".data.fetch/index.ndjson").is_file()


def test_a_changed_label_changes_exactly_its_row(standin, fetched):
    before = snapshot(fetched)
    standin.label("project1", "deck00_card01.jpg", [("bird", 3.0, 4.0, 11.0, 14.0)])
    fetch("project1", fetched, quick(standin), replace=True)
    after = snapshot(fetched)
    old, new = (files.pop("export.ndjson").splitlines() for files in (before, after))
    assert [number for number in range(3) if old[number] != new[number]] == [1]
    assert before == after


def test_only_what_is_new_changed_or_damaged_is_fetched_again(standin, fetched):
    rows = {row["external_id"]: row for row in standin.rows.values()}
    damaged = fetched / "images/deck00_card00.jpg"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    rows["deck00_card01.jpg"]["row_data"] = standin._keep(picture(7), "replaced.jpg")
    standin.projects["project1"]["rows"][
        standin._new_row({"row_data": standin._keep(picture(8), "new.jpg"), "external_id": "new.jpg"})
    ] = "label"
    assert fetch("project1", fetched, quick(standin), replace=True).downloaded == 3
    assert damaged.read_bytes() == picture(0)
    assert (fetched / "images/deck00_card01.jpg").read_bytes() == picture(7)
    assert (fetched / "images/new.jpg").read_bytes() == picture(8)
    assert standin.counts["photo"] == 3


def test_another_photo_at_the_same_address_is_fetched(standin, fetched):
    row = next(row for row in standin.rows.values() if row["external_id"] == "deck00_card01.jpg")
    standin.files[unquote(row["row_data"].rpartition("/")[2])] = picture(7, (40, 31))
    row["height"] = 31  # as Labelbox measures it anew
    assert fetch("project1", fetched, quick(standin), replace=True).downloaded == 1
    assert (fetched / "images/deck00_card01.jpg").read_bytes() == picture(7, (40, 31))


def test_a_deleted_and_a_renamed_row_need_no_download(standin, fetched):
    rows = {row["external_id"]: key for key, row in standin.rows.items()}
    del standin.projects["project1"]["rows"][rows["deck00_card00.jpg"]]
    standin.rows[rows["deck00_card01.jpg"]]["external_id"] = "renamed.jpg"
    assert fetch("project1", fetched, quick(standin), replace=True).downloaded == 0
    assert set(snapshot(fetched)) == {"export.ndjson", "images/renamed.jpg", "images/süd/deck01_card00.jpg"}
    assert fetch("project1", fetched, quick(standin), replace=True).downloaded == 0


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("GetProject", BUSY),
        ("GetProject", Fault(status=502, body=b"bad gateway")),
        ("GetProject", Fault(status=429, body={"message": "You have exceeded your API limit"})),
        ("exportDataRowsInProject", Fault(status=429, body=b"Too Many Requests")),
        ("GetUserCreatedTasks", LOST),
        ("GetExportMetadataHeader", Fault(stall=6.0)),
        ("GetExportFileFromOffset", CUT),
        ("chunk", BUSY),
        ("chunk", LOST),
        ("chunk", CUT),
        ("chunk", Fault(status=200, body=b"too short")),
        ("chunk", Fault(status=403, body=b"expired")),
        ("photo", BUSY),
        ("photo", Fault(status=429)),
        ("photo", LOST),
        ("photo", CUT),
        ("photo", Fault(stall=6.0)),
        ("photo", Fault(status=403, body=b"expired")),
    ],
)
def test_what_passes_is_tried_again(standin, tmp_path, where, fault):
    standin.fail(where, fault)
    # Whatever else is slower than this limit is tried again just so.
    patience = dataclasses.replace(QUICK, timeout=1.0, tries=60) if fault.stall else QUICK
    assert fetch("project1", tmp_path / "data", quick(standin, patience)).photos == 3
    assert standin.counts[where] >= 2


def test_a_server_that_says_when_is_asked_again_then(standin, tmp_path):
    standin.fail("GetProject", Fault(status=429, headers={"Retry-After": "1"}))
    start = time.monotonic()
    fetch("project1", tmp_path / "data", quick(standin))
    assert time.monotonic() - start >= 1.0


def test_a_server_that_asks_for_an_hour_is_left_alone(standin, tmp_path):
    standin.fail("GetProject", Fault(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(UnreachableError, match=r"429 Too Many Requests, and the server asks to wait 3600 s"):
        fetch("project1", tmp_path / "data", quick(standin))
    assert standin.counts["GetProject"] == 1


def test_expired_addresses_lead_to_one_new_export_and_no_photo_twice(standin, tmp_path):
    standin.fail(f"/photo/{len(PHOTOS)}-süd/deck01_card00.jpg", Fault(status=403))
    fetch("project1", tmp_path / "data", quick(standin))
    assert standin.exports == 2
    assert standin.counts["photo"] == len(PHOTOS) + 1


def test_a_whole_export_that_has_expired_is_asked_for_again(standin, tmp_path):
    standin.expired = {1}
    assert fetch("project1", tmp_path / "data", quick(standin)).photos == 3
    assert standin.exports == 2


@pytest.mark.parametrize(
    ("where", "fault", "error", "message"),
    [
        (
            "GetProject",
            graphql_error("AUTHENTICATION_ERROR"),
            ApiKeyError,
            "refuses the key in LABELBOX_API_KEY",
        ),
        (
            "GetProject",
            Fault(401, {"message": "API access disabled"}),
            ApiKeyError,
            "401 .*API access disabled",
        ),
        ("GetProject", graphql_error("AUTHORIZATION_ERROR"), ApiKeyError, "may not do this: refused"),
        ("GetProject", graphql_error("RESOURCE_NOT_FOUND"), ProjectNotFoundError, "no project 'project1'"),
        (
            "GetProject",
            Fault(200, {"data": {"project": None}}),
            ProjectNotFoundError,
            "no project 'project1'",
        ),
        (
            "GetProject",
            Fault(200, {"data": {"project": {"id": "1"}}}),
            LabelboxError,
            "gives no answer that the SDK",
        ),
        ("GetProject", Fault(200, b"<html>a portal</html>"), LabelboxError, "says: Failed to parse"),
        (
            "GetProject",
            graphql_error("INTERNAL_SERVER_ERROR", status=500),
            UnreachableError,
            "500 .*, 3 times",
        ),
        ("any", BUSY, UnreachableError, "503 Service Unavailable, 3 times"),
        ("any", LOST, UnreachableError, "connection lost, 3 times"),
        ("GetProject", Fault(429, b"slow down"), UnreachableError, "429 Too Many Requests, 3 times"),
        ("chunk", Fault(403, b"expired"), ExportFailedError, "cannot be downloaded, 3 times: 403 Forbidden"),
        ("chunk", LOST, ExportFailedError, "cannot be downloaded, 3 times: connection lost"),
        ("photo", Fault(403), PhotoError, r"card.*: 127\.0\.0\.1:\d+ refuses it"),
        ("photo", LOST, UnreachableError, r"card.*does not give the photo \(connection lost, 3 times\)"),
    ],
)
def test_what_does_not_pass_is_one_line_and_the_earlier_data_stays(
    standin, tmp_path, capfd, caplog, where, fault, error, message
):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/export.ndjson").write_text("the earlier one")
    standin.fail(where, fault, times=50)
    with pytest.raises(error, match=f"^[^\n]*{message}[^\n]*$") as raised:
        fetch("project1", tmp_path / "data", quick(standin), replace=True)
    assert "Signature" not in str(raised.value)
    assert snapshot(tmp_path / "data") == {"export.ndjson": b"the earlier one"}
    assert "lbox" not in capfd.readouterr().err
    assert not [record for record in caplog.records if record.name.startswith(("labelbox", "lbox"))]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(404), r"cannot be had from 127\.0\.0\.1:\d+ \(404 Not Found\)"),
        (CUT, r"does not arrive whole .*cut short, 3 times"),
        (Fault(200, b"<html>"), r"is no JPEG, PNG, WebP, BMP or TIFF picture"),
        (Fault(200, picture(0)[:-200]), r"is cut short or damaged"),
    ],
)
def test_all_photos_that_cannot_be_had_are_named_and_the_earlier_data_stays(
    standin, tmp_path, fault, message
):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/export.ndjson").write_text("the earlier one")
    standin.fail("photo", fault, times=50)
    with pytest.raises(BadRowsError, match=message) as raised:
        fetch("project1", tmp_path / "data", quick(standin), replace=True)
    assert {problem.photo for problem in raised.value.problems} == set(PHOTOS)
    assert "Signature" not in str(raised.value)
    assert snapshot(tmp_path / "data") == {"export.ndjson": b"the earlier one"}


def test_photos_that_cannot_be_had_are_left_out_by_name_if_asked(standin, tmp_path):
    standin.fail("photo", Fault(404), times=1)
    done = fetch("project1", tmp_path / "data", quick(standin), skip_bad=True)
    ((_, lost, problem),) = done.left_out
    assert "404 Not Found" in problem
    kept = {f"images/{name}" for name in PHOTOS if name != lost}
    assert set(snapshot(tmp_path / "data")) == {"export.ndjson", *kept}


def test_a_key_that_is_none_is_named(standin, tmp_path):
    with pytest.raises(ApiKeyError, match="create a new one"):
        fetch("project1", tmp_path / "data", quick(standin, key="another"))
    assert standin.counts["any"] == 1


def test_an_export_that_fails_or_never_ends_is_named(standin, tmp_path):
    standin.ends_as = "FAILED"
    with pytest.raises(ExportFailedError, match=r"project 'project1' ended as FAILED: .*Labelbox"):
        fetch("project1", tmp_path / "data", quick(standin))
    standin.ends_as = "IN_PROGRESS"
    with pytest.raises(ExportUnfinishedError, match=r"project 'project1' is not finished after 0\.2 s"):
        fetch("project1", tmp_path / "data", quick(standin, task_timeout=0.2))


def test_a_project_without_photos_is_named(standin, tmp_path):
    standin.projects["project1"]["rows"].clear()
    with pytest.raises(EmptyProjectError, match="'project1' has no data rows"):
        fetch("project1", tmp_path / "data", quick(standin))
    assert not (tmp_path / "data").exists()


def test_the_sdk_leaves_no_temporary_file_behind(standin, tmp_path, monkeypatch):
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spool))
    standin.fail("chunk", Fault(403), times=1)
    fetch("project1", tmp_path / "data", quick(standin), replace=True)
    standin.fail("chunk", Fault(403), times=9)
    with pytest.raises(ExportFailedError):
        fetch("project1", tmp_path / "data", quick(standin), replace=True)
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row_data": "gs://bucket/photo.jpg"}, "has no http address to download it from"),
        ({"external_id": "../photo.jpg"}, "leaves its folder"),
        ({"external_id": "deck00_card00.jpg"}, r"has the external id of row \d"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(standin, tmp_path, change, message):
    standin.rows["row2"].update(change)
    with pytest.raises(
        BadRowsError, match=rf"^export of project project1: 1 row cannot.*\n  row \d .*{message}"
    ):
        fetch("project1", tmp_path / "data", quick(standin))


def test_an_interrupted_fetch_keeps_the_old_data_and_the_next_brings_only_the_rest(tmp_path):
    with LabelboxStandIn(latency=0.02) as standin:
        many = {f"deck00_card{card:02}.jpg": (picture(card), []) for card in range(40)}
        standin.add_project("many", many)
        (tmp_path / "data").mkdir()
        (tmp_path / "data/export.ndjson").write_text("the earlier one")

        def interrupt():
            while standin.counts["photo"] < 15:
                time.sleep(0.005)
            standin.latency = 1.0  # a slow machine takes its time to break off
            os.kill(os.getpid(), signal.SIGINT)

        watcher = threading.Thread(target=interrupt)
        watcher.start()
        with pytest.raises(KeyboardInterrupt):
            fetch("project1", tmp_path / "data", quick(standin), replace=True)
        watcher.join()
        assert snapshot(tmp_path / "data") == {"export.ndjson": b"the earlier one"}
        kept = len(list((tmp_path / ".data.fetch/images").iterdir()))
        assert 10 <= kept < 40

        standin.counts.clear()
        standin.latency = 0.0
        assert fetch("project1", tmp_path / "data", quick(standin), replace=True).downloaded == 40 - kept
        assert standin.counts["photo"] == 40 - kept
    assert len(snapshot(tmp_path / "data")) == 41
    assert list((tmp_path / ".data.fetch/images").iterdir()) == []


def test_notes_that_were_cut_short_cost_only_their_photo(standin, fetched):
    notes = fetched.parent / ".data.fetch/index.ndjson"
    notes.write_bytes(notes.read_bytes()[:-20])
    assert fetch("project1", fetched, quick(standin), replace=True).downloaded == 1


def test_two_fetches_at_a_time_are_refused(standin, tmp_path):
    with PhotoStore(tmp_path / "data"), pytest.raises(OutputError, match="another fetch is writing it"):
        fetch("project1", tmp_path / "data", quick(standin))


def test_a_folder_that_cannot_be_written_is_named(standin, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="could not be written: Not a directory"):
        fetch("project1", tmp_path / "file/data", quick(standin))


def test_key_and_endpoint_come_from_the_environment(monkeypatch):
    monkeypatch.setenv(env.LABELBOX_API_KEY, " the key\n")
    monkeypatch.delenv(env.LABELBOX_ENDPOINT, raising=False)
    settings = LabelboxSettings.from_environment()
    assert (settings.api_key, settings.endpoint) == ("the key", "https://api.labelbox.com/graphql")
    assert "the key" not in repr(settings)
    monkeypatch.setenv(env.LABELBOX_ENDPOINT, "http://127.0.0.1:1/graphql")
    assert LabelboxSettings.from_environment().endpoint == "http://127.0.0.1:1/graphql"


@pytest.mark.parametrize(
    ("key", "endpoint", "error", "message"),
    [
        ("", "", ApiKeyError, "LABELBOX_API_KEY is not set: create a key"),
        ("schlüssel", "", ApiKeyError, "LABELBOX_API_KEY has characters that no key has"),
        (
            "key",
            "labelbox",
            LabelboxError,
            "DOBBLE_LABELBOX_ENDPOINT is 'labelbox', which is no http address",
        ),
    ],
)
def test_an_unusable_environment_is_named(monkeypatch, key, endpoint, error, message):
    monkeypatch.setenv(env.LABELBOX_API_KEY, key)
    monkeypatch.setenv(env.LABELBOX_ENDPOINT, endpoint)
    with pytest.raises(error, match=message):
        LabelboxSettings.from_environment()
