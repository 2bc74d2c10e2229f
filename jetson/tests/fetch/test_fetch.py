import base64
import errno
import io
import json
import os
import shutil
import socket
import tarfile
import zipfile

import pytest
from registry_standin import Registry

from jetson.__main__ import main
from jetson.fetch import sources
from jetson.fetch.command import origin
from jetson.home import bundle_folder, bundles_folder, home
from jetson.play.bundle import load_bundle

MODEL = bytes(range(256)) * 300


@pytest.fixture(autouse=True)
def device(tmp_path, monkeypatch):
    """A device's home, and no patience: failures that pass are tried again at once."""
    monkeypatch.setenv("DOBBLE_DEVICE_HOME", str(tmp_path / "device"))
    for name in ("MLFLOW_TRACKING_URI", sources.USER, sources.PASSWORD):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(sources, "PAUSES", (0.0, 0.0))


@pytest.fixture
def make(write_bundle, tmp_path):
    """Return a function that writes a bundle with a model of its own."""

    def make(name, model=MODEL):
        folder = str(tmp_path / name)
        shutil.copytree(write_bundle(model=model), folder)
        return folder

    return make


@pytest.fixture
def registry(make):
    with Registry(make("one")) as server:
        yield server


@pytest.fixture
def fetch(capsys):
    """Return a function that runs the command; gives exit code, standard output and error."""

    def fetch(*arguments):
        code = main(["fetch"] + list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return fetch


def model():
    with open(load_bundle(bundle_folder()).model, "rb") as stream:
        return stream.read()


def assert_one_line(failed, *words):
    code, out, err = failed
    assert (code, out, err.count("\n")) == (1, "", 1)
    for word in words:
        assert word in err


def test_the_champion_comes_with_a_note_of_where_from(fetch, registry):
    registry.versions["2"] = registry.versions["1"]
    code, out, _ = fetch(registry.address)
    assert (code, out.count("\n")) == (0, 1)
    assert "dobble version 1 is in use" in out
    assert model() == MODEL
    known = origin(load_bundle(bundle_folder()))
    assert (known["server"], known["model"], known["version"]) == (registry.address, "dobble", "1")
    assert (known["alias"], known["run_id"]) == ("champion", "run-1")
    fetch(registry.address, "--version", "2")
    assert origin(load_bundle(bundle_folder()))["version"] == "2"


def test_the_server_s_address_may_come_from_the_environment(fetch, registry, monkeypatch):
    assert_one_line(fetch(), "from where?", "MLFLOW_TRACKING_URI")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.address + "/")
    assert fetch()[0] == 0


def test_files_without_a_length_come_whole(fetch, registry):
    registry.chunked = True
    assert fetch(registry.address)[0] == 0
    assert model() == MODEL


def test_rollback_goes_back_and_a_fetch_forward_again(fetch, registry, make):
    registry.versions.update({"2": make("two", b"two"), "3": make("three", b"three")})
    for version in "123":
        fetch(registry.address, "--version", version)
    assert len(os.listdir(bundles_folder())) == 2  # the first is gone
    assert fetch("--rollback")[0] == 0
    assert model() == b"two"
    assert_one_line(fetch("--rollback"), "there is no bundle before this one")
    assert model() == b"two"
    fetch(registry.address, "--version", "3")
    assert model() == b"three"
    assert fetch("--rollback")[0] == 0
    assert model() == b"two"


def test_fetching_what_is_here_already_asks_for_the_manifest_only(fetch, registry, make):
    fetch(make("before", b"before"))
    fetch(registry.address)
    registry.asked.clear()
    assert fetch(registry.address)[0] == 0
    assert [file for _, file, _ in registry.asked] == ["", "manifest.json"]
    fetch("--rollback")
    assert model() == b"before"


def test_a_download_that_breaks_off_goes_on_where_it_stopped(fetch, registry):
    registry.faults["model.onnx"] = [("cut", 1000)]
    assert fetch(registry.address)[0] == 0
    assert [span for _, file, span in registry.asked if file == "model.onnx"] == [None, "bytes=1000-"]
    assert model() == MODEL


def test_a_later_fetch_goes_on_with_what_an_earlier_one_brought(fetch, registry):
    registry.faults["model.onnx"] = [("cut", 500)] * 3
    assert_one_line(fetch(registry.address), registry.address, "broke off", "1500 of 76800")
    assert not os.path.exists(bundle_folder())
    registry.asked.clear()
    assert fetch(registry.address)[0] == 0
    assert [(file, span) for _, file, span in registry.asked if file] == [
        ("manifest.json", None),
        ("model.onnx", "bytes=1500-"),
    ]
    assert model() == MODEL
    assert len(os.listdir(bundles_folder())) == 1


def test_a_server_in_trouble_is_asked_again(fetch, registry):
    registry.faults["labels.txt"] = [503, 429]
    assert fetch(registry.address)[0] == 0
    registry.faults["manifest.json"] = [503, 503, 503]
    assert_one_line(fetch(registry.address), "answered 503 (told to): try again later")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--alias", "challenger"], "no model dobble with alias challenger"),
        (["--version", "9"], "no model dobble with version 9"),
        (["--model", "chess"], "no model chess with alias champion"),
    ],
)
def test_what_the_registry_does_not_know_is_named_at_once(fetch, registry, arguments, words):
    assert_one_line(fetch(registry.address, *arguments), registry.address, words)
    assert len(registry.asked) == 1


def test_a_version_without_a_bundle_is_named(fetch, registry, tmp_path):
    registry.versions["2"] = str(tmp_path)
    assert_one_line(fetch(registry.address, "--version", "2"), "version 2 of dobble has no manifest.json")


def test_user_and_password_come_from_the_environment_and_are_never_shown(fetch, registry, monkeypatch):
    registry.authorization = "Basic " + base64.b64encode(b"nano:secret-word").decode()
    assert_one_line(fetch(registry.address), "refuses (401)", sources.USER, sources.PASSWORD)
    assert len(registry.asked) == 1
    monkeypatch.setenv(sources.USER, "nano")
    monkeypatch.setenv(sources.PASSWORD, "secret-word")
    code, out, err = fetch(registry.address)
    assert code == 0
    with open(os.path.join(bundle_folder(), "source.json"), encoding="utf-8") as stream:
        assert "secret-word" not in out + err + stream.read()
    failed = fetch(registry.address.replace("//", "//nano:secret-word@"))
    assert_one_line(failed, "belong into " + sources.USER)
    assert "secret-word" not in failed[2]


def test_a_server_that_is_away_is_named_and_what_was_in_use_stays(fetch, make):
    fetch(make("one"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = "http://127.0.0.1:{}".format(taken.getsockname()[1])  # bound, and nobody listens
        assert_one_line(fetch(address), address, "cannot be reached", "refused")
    assert model() == MODEL


def test_a_server_that_is_no_mlflow_is_named(fetch, registry, monkeypatch):
    registry.champion = "the best"
    assert_one_line(fetch(registry.address), "does not answer as MLflow does")
    assert_one_line(fetch("ftp://host"), "write http://HOST:PORT")


def test_a_damaged_bundle_is_refused_and_what_was_in_use_stays(fetch, registry, make):
    fetch(make("before", b"before"))
    with open(os.path.join(registry.versions["1"], "model.onnx"), "r+b") as stream:
        stream.write(b"X")
    failed = fetch(registry.address)
    assert_one_line(failed, registry.address, "damaged", "model.onnx: is not the file the manifest describes")
    assert model() == b"before"
    assert len(os.listdir(bundles_folder())) == 1


def test_a_file_longer_than_the_manifest_says_is_not_followed_to_its_end(fetch, registry):
    with open(os.path.join(registry.versions["1"], "labels.txt"), "ab") as stream:
        stream.write(b"x" * 1000)
    assert_one_line(fetch(registry.address), "labels.txt: has 50 bytes, the manifest says 49")


def test_a_name_that_leads_out_is_refused_before_anything_is_asked_for(fetch, registry):
    path = os.path.join(registry.versions["1"], "manifest.json")
    with open(path, encoding="utf-8") as stream:
        manifest = json.load(stream)
    manifest["files"]["../../evil"] = {"sha256": "0", "bytes": 1}
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(manifest, stream)
    assert_one_line(fetch(registry.address), "'../../evil' leads out of the bundle")
    assert {file for _, file, _ in registry.asked} == {"", "manifest.json"}


def test_a_full_disk_is_named_and_what_was_in_use_stays(fetch, registry, make, monkeypatch):
    fetch(make("before", b"before"))

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert_one_line(fetch(registry.address), "the disk is full")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9 << 30, 9 << 30, 3 << 20))
        assert_one_line(fetch(registry.address), "3 MB are free, 16 MB are needed: make room")
    assert model() == b"before"
    assert len(os.listdir(bundles_folder())) == 1


def test_a_home_that_cannot_be_written_is_named(fetch, make):
    with open(home(), "w", encoding="utf-8"):
        pass
    assert_one_line(fetch(make("one")), home(), "cannot be read or written")


def test_a_folder_in_the_place_of_the_link_is_left_alone(fetch, make):
    os.makedirs(bundle_folder())
    assert_one_line(fetch(make("one")), bundle_folder(), "move it away")


def test_two_fetches_do_not_meet(fetch, make):
    import fcntl

    os.makedirs(home())
    with open(os.path.join(home(), ".fetch.lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert_one_line(fetch(make("one")), "another fetch is at work")
    assert fetch(make("two"))[0] == 0


@pytest.mark.parametrize("top", ["", "bundle/", "./a/b/"])
@pytest.mark.parametrize("kind", ["gz", "zip"])
def test_a_bundle_comes_from_an_archive(fetch, make, tmp_path, top, kind):
    path = pack(make("one"), str(tmp_path / ("bundle." + kind)), kind, top)
    assert fetch(path)[0] == 0
    assert model() == MODEL
    assert origin(load_bundle(bundle_folder())) == dict(
        origin(load_bundle(bundle_folder())), kind="archive", path=path, before=None
    )


def test_a_folder_that_holds_the_bundle_will_do(fetch, make):
    folder = make(os.path.join("copied", "bundle"))
    assert fetch(os.path.dirname(folder))[0] == 0
    assert model() == MODEL


def test_links_in_an_archive_lead_nowhere(fetch, make, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(MODEL)
    path = str(tmp_path / "bundle.tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        folder = make("one")
        for name in ("manifest.json", "labels.txt"):
            archive.add(os.path.join(folder, name), name)
        link = tarfile.TarInfo("model.onnx")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
        evil = tarfile.TarInfo("../../evil")
        evil.size = 1
        archive.addfile(evil, io.BytesIO(b"x"))
    assert_one_line(fetch(path), path, "model.onnx in it is missing or damaged")
    assert not os.path.exists(bundle_folder())


@pytest.mark.parametrize("kind", ["gz", "zip"])
def test_a_cut_archive_is_named(fetch, make, tmp_path, kind):
    path = pack(make("one"), str(tmp_path / ("bundle." + kind)), kind, "")
    size = os.path.getsize(path)
    os.truncate(path, size // 2)
    assert_one_line(fetch(path), path, "copy")
    assert not os.path.exists(bundle_folder())


def test_a_place_without_a_bundle_is_named(fetch, tmp_path):
    assert_one_line(fetch(str(tmp_path / "nowhere.zip")), "nowhere.zip", "cannot be read")
    assert_one_line(fetch(str(tmp_path)), "manifest.json", "cannot be read")
    path = str(tmp_path / "empty.zip")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert_one_line(fetch(path), "holds no manifest.json")


def pack(folder, path, kind, top):
    names = sorted(os.listdir(folder))
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.write(os.path.join(folder, name), top + name)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name in names:
                archive.add(os.path.join(folder, name), top + name)
    return path
