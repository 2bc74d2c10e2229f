"""A tiny DVC project against a real S3 server; what happens behind DVC's back goes through it as well."""

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc_project import clone_of, dvc, make_project, run, use, write_photos
from s3_server import KEY, REGION, SECRET, S3Server, free_port, s3_server
from tqdm import TMonitor

from dobble.errors import DobbleError
from dobble.storage.audit import key_of
from dobble.storage.errors import (
    BucketMissingError,
    NoRemoteError,
    RemoteAccessError,
    RemoteObjectsError,
    RemoteStalledError,
    RemoteUnreachableError,
)
from dobble.storage.pins import outputs
from dobble.storage.remote import pull, push, verify
from dobble.storage.s3 import S3Bucket, S3Settings
from dobble.storage.stack import use_stack

PHOTOS = 12
BUCKETS = tuple(f"bucket-{letter}" for letter in "abcdefghijklm")


@pytest.fixture(scope="module", autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.delenv("DOBBLE_STACK", raising=False)
        patch.setenv("HOME", str(home))
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("DVC_SITE_CACHE_DIR", str(home / "site"))
        patch.setenv("DVC_NO_ANALYTICS", "1")
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "test")
            patch.setenv(f"GIT_{role}_EMAIL", "test@example.org")
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3"), BUCKETS) as running:
        yield running


@pytest.fixture(scope="module")
def bucket_names() -> Iterator[str]:
    return iter(BUCKETS)


@pytest.fixture
def bucket(bucket_names: Iterator[str]) -> str:
    return next(bucket_names)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, _surroundings: None) -> Path:
    """A committed project whose stage ran once."""
    return make_project(tmp_path_factory.mktemp("template") / "project", PHOTOS)


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "project", symlinks=True))


def photos_of(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "data/images").iterdir())}


def object_of(project: Path, photo: str) -> str:
    listing = run(["md5sum", f"data/images/{photo}"], project)
    return listing.split()[0]


def client(server: S3Server, bucket: str) -> S3Bucket:
    return S3Bucket(S3Settings(bucket, "dvc", server.endpoint, REGION, key=KEY, secret=SECRET), 10)


def delete(server: S3Server, bucket: str, name: str) -> None:
    client(server, bucket)._send("DELETE", f"dvc/{key_of(name)}", lambda answer: None)


def flip(server: S3Server, bucket: str, project: Path, name: str) -> None:
    """Replace an object by others bytes of the same length."""
    content = bytearray((project / ".dvc/cache" / key_of(name)).read_bytes())
    content[-1] ^= 1
    side = project.parent / "flipped"
    side.write_bytes(content)
    client(server, bucket).write(key_of(name), side, run(["md5sum", str(side)], project).split()[0])


def assert_no_secret_in(root: Path) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert SECRET.encode() not in content, path
            assert KEY.encode() not in content, path


def test_fresh_clone_pulls_what_was_pushed_and_has_nothing_to_run(
    project: Path, server: S3Server, bucket: str
) -> None:
    use(project, server.endpoint, bucket)
    pushed = push(project)
    # Twelve photos, their list, build/list.txt and its list.
    assert pushed.objects == PHOTOS + 3
    clone = clone_of(project)
    pull(clone)
    assert photos_of(clone) == photos_of(project)
    runs = sorted(path.name for path in (clone / ".dvc/cache/runs").rglob("*") if path.is_file())
    assert runs == sorted(path.name for path in (project / ".dvc/cache/runs").rglob("*") if path.is_file())
    assert runs
    assert "up to date" in dvc(["repro"], clone)
    assert not (clone.parent / "runs.log").exists()
    assert run(["git", "status", "--porcelain"], clone) == ""
    assert_no_secret_in(clone)


def test_dvc_itself_finds_nothing_to_push_and_can_pull(project: Path, server: S3Server, bucket: str) -> None:
    use(project, server.endpoint, bucket)
    push(project)
    assert "up to date" in dvc(["push"], project)
    clone = clone_of(project)
    dvc(["pull", "--quiet"], clone)
    assert photos_of(clone) == photos_of(project)


def test_what_dvc_itself_pushed_is_verified_and_not_sent_again(
    project: Path, server: S3Server, bucket: str
) -> None:
    use(project, server.endpoint, bucket)
    dvc(["push", "--quiet", "--run-cache"], project)
    verified = verify(project, sample=None)
    assert (verified.objects, verified.hashed, verified.findings) == (PHOTOS + 3, PHOTOS + 3, ())
    assert push(project).objects == 0


def test_server_killed_in_the_middle_leaves_nothing_that_looks_complete(
    tmp_path: Path, template: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(template, project, ignore=shutil.ignore_patterns("data", "data.dvc"), symlinks=True)
    write_photos(project, 300, 20_000)
    dvc(["add", "--quiet", "data"], project)
    server = S3Server(tmp_path / "s3").start()
    try:
        use(project, server.endpoint, "bucket")

        def kill_after_some() -> None:
            while len(server.objects()) < 30:
                time.sleep(0.005)
            server.kill()

        before = threading.enumerate()
        threading.Thread(target=kill_after_some, daemon=True).start()
        with pytest.raises(RemoteUnreachableError):
            push(project)
        # Workers that still try again would have ended with a process of their own; here they must not meet
        # the new server.
        for thread in threading.enumerate():
            if thread not in before and not isinstance(thread, TMonitor):
                thread.join(300)
        there = [path for path in server.objects() if not path.name.startswith(".rclone_temp")]
        assert 30 <= len(there) < 300
        assert not [path for path in there if path.name.endswith(".dir")]
        server.start()
        pushed = push(project)
        assert pushed.objects == 300 + 3 - len([path for path in there if "/files/" in path.as_posix()])
        verified = verify(project, sample=None)
        assert (verified.objects, verified.findings) == (303, ())
    finally:
        server.kill()


def test_object_deleted_behind_the_back_of_dvc_is_found_and_mended(
    project: Path, server: S3Server, bucket: str
) -> None:
    use(project, server.endpoint, bucket)
    push(project)
    name = object_of(project, "007.jpg")
    delete(server, bucket, name)
    assert "up to date" in dvc(["push"], project)
    verified = verify(project, sample=0)
    assert [(found.name, found.problem, found.files) for found in verified.findings] == [
        (name, "missing", ("data/images/007.jpg",))
    ]
    with pytest.raises(RemoteObjectsError, match=r"1 object missing or damaged, e\.g\. data/images/007\.jpg"):
        verified.check()
    with pytest.raises(RemoteObjectsError, match=r"007\.jpg \(missing\): `dobble push` on a machine"):
        pull(clone_of(project))
    pushed = push(project)
    assert (pushed.objects, pushed.mended) == (1, 1)
    assert verify(project, sample=None).findings == ()


def test_flipped_bytes_are_found_by_a_full_sample_and_mended(
    project: Path, server: S3Server, bucket: str
) -> None:
    use(project, server.endpoint, bucket)
    push(project)
    name = object_of(project, "003.jpg")
    flip(server, bucket, project, name)
    assert verify(project, sample=0).findings == ()
    found = verify(project, sample=None).findings
    assert [(finding.name, finding.problem) for finding in found] == [(name, "damaged")]
    pushed = push(project, sample=None)
    assert (pushed.objects, pushed.mended) == (1, 1)
    assert verify(project, sample=None).findings == ()


def test_object_of_another_size_is_found_without_a_cache_and_mended(
    project: Path, server: S3Server, bucket: str
) -> None:
    use(project, server.endpoint, bucket)
    push(project)
    name = object_of(project, "005.jpg")
    (project.parent / "short").write_bytes(b"short")
    client(server, bucket).write(key_of(name), project.parent / "short", "4f09daa9d95bcb166a302407a0e0babe")
    found = verify(clone_of(project), sample=0).findings
    assert [(finding.name, finding.problem) for finding in found] == [(name, "damaged")]
    assert verify(project, sample=0).findings[0].problem == "wrong size"
    assert push(project).mended == 1
    assert verify(project, sample=None).findings == ()


def test_part_can_be_sent_from_a_clone_that_lacks_the_rest(
    project: Path, server: S3Server, bucket: str
) -> None:
    use(project, server.endpoint, bucket)
    clone = clone_of(project)
    shutil.copytree(project / "data", clone / "data")
    dvc(["commit", "--quiet", "--force", "data.dvc"], clone)
    assert push(clone, paths=["data"]).objects == PHOTOS + 1
    with pytest.raises(RemoteObjectsError, match=r"1 object missing or damaged, e\.g\. build/"):
        push(clone)


def test_list_of_members_that_is_gone_is_found_from_a_fresh_clone(
    project: Path, server: S3Server, bucket: str
) -> None:
    use(project, server.endpoint, bucket)
    push(project)
    folder = next(output for output in outputs(project) if output.path == "data")
    delete(server, bucket, folder.name)
    found = verify(clone_of(project), sample=0).findings
    assert [(finding.problem, finding.files) for finding in found] == [("missing", ("data/",))]


def test_what_nobody_has_is_named_and_all_else_is_sent(project: Path, server: S3Server, bucket: str) -> None:
    use(project, server.endpoint, bucket)
    name = object_of(project, "002.jpg")
    (project / ".dvc/cache" / key_of(name)).unlink()
    with pytest.raises(RemoteObjectsError, match=r"e\.g\. data/.* \(missing\): the cache has no good copy"):
        push(project)
    sent = client(server, bucket).list("files/md5")
    # All but the lost photo, and not the list that would promise it.
    assert len(sent) == PHOTOS + 3 - 2
    (project / ".dvc/cache" / key_of(name)).write_bytes((project / "data/images/002.jpg").read_bytes())
    assert push(project).objects == 2


def test_damaged_copy_in_the_cache_never_travels(project: Path, server: S3Server, bucket: str) -> None:
    use(project, server.endpoint, bucket)
    name = object_of(project, "004.jpg")
    cached = project / ".dvc/cache" / key_of(name)
    cached.chmod(0o644)
    cached.write_bytes(b"x" * 2000)
    with pytest.raises(RemoteObjectsError):
        push(project)
    assert key_of(name).removeprefix("files/md5/") not in client(server, bucket).list("files/md5")


def test_folder_serves_as_a_remote_too(project: Path) -> None:
    (project / "stack.yaml").write_text("remote:\n  url: ../storage\n")
    use_stack("stack.yaml", project)
    assert push(project).objects == PHOTOS + 3
    assert verify(project, sample=None).findings == ()
    (project.parent / "storage" / key_of(object_of(project, "001.jpg"))).unlink()
    assert [finding.files for finding in verify(project).findings] == [("data/images/001.jpg",)]
    assert push(project).mended == 1


@pytest.mark.parametrize("verb", [push, pull, verify], ids=["push", "pull", "verify"])
@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        ("key", RemoteAccessError, r"refuses access \(.+\): check AWS_ACCESS_KEY_ID"),
        ("none", RemoteAccessError, r"no credentials found"),
        ("bucket", BucketMissingError, r"s3://no-such-bucket/dvc: there is no such bucket: create it"),
        ("endpoint", RemoteUnreachableError, r"cannot be reached \(Could not connect .*check the endpoint"),
        ("stalled", RemoteStalledError, r"nothing moved for 1 s: run the same command again"),
    ],
)
def test_each_failure_of_the_remote_is_one_line_with_its_cure(
    verb, broken: str, error: type[DobbleError], message: str, project: Path, server: S3Server, monkeypatch
) -> None:
    monkeypatch.setattr("dobble.storage.s3._PAUSES", (0.01, 0.01))
    endpoint, name = server.endpoint, "bucket-a"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        if broken == "key":
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-of-theirs")
        elif broken == "none":
            monkeypatch.delenv("AWS_ACCESS_KEY_ID")
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        elif broken == "bucket":
            name = "no-such-bucket"
        elif broken == "endpoint":
            endpoint = f"http://127.0.0.1:{free_port()}"
        else:
            endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        use(project, endpoint, name)
        start = time.monotonic()
        with pytest.raises(error, match=message) as caught:
            verb(project, stall_seconds=1)
        assert time.monotonic() - start < 120
    assert "\n" not in str(caught.value)
    assert "wrong-secret" not in str(caught.value)


def test_dvc_that_says_nothing_for_too_long_is_ended(
    project: Path, server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(project, server.endpoint, bucket)
    push(project)
    monkeypatch.setattr("dobble.storage.dvc_transfer._PAUSES", (0.01,))
    with pytest.raises(RemoteStalledError, match=r"nothing moved for 0\.4 s"):
        # DVC is silent for longer than that while it starts.
        pull(project, stall_seconds=0.4)


def test_without_a_remote_the_cure_is_named(project: Path) -> None:
    with pytest.raises(NoRemoteError, match="no remote is configured: choose one with `dobble stack use"):
        push(project)


def test_key_and_secret_stand_in_no_file(project: Path, server: S3Server, bucket: str) -> None:
    use(project, server.endpoint, bucket)
    push(project)
    verify(project)
    assert (project / ".dobble/stack.env").is_file()
    assert_no_secret_in(project)
