"""Pushes to what takes everything and keeps nothing, two pushes at once, and what a push reads back."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from dvc_project import clone_of, dvc, make_project, use
from mlflow_server import Line
from s3_server import KEY, SECRET, S3Server, s3_server

from dobble.storage.errors import NoStorageError, NotKeptError
from dobble.storage.remote import pull, push, verify
from dobble.storage.stack import use_stack

PHOTOS = 20
LISTING = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></ListBucketResult>'
LOGIN = b"<html><body><h1>Welcome to our network</h1></body></html>"
PUSH = "from dobble.storage.remote import push; print(push().objects)"


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
def template(tmp_path_factory: pytest.TempPathFactory, _surroundings: None) -> Path:
    return make_project(tmp_path_factory.mktemp("template") / "project", PHOTOS)


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "project", symlinks=True))


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path / "s3") as running:
        yield running


class Taker:
    """A server that answers 200 to all it is asked, keeps what it is told to, and lists it."""

    def __init__(self) -> None:
        self.listing = LOGIN
        self.kept: dict[str, bytes] | None = None
        self.damages = False

    def list(self) -> bytes:
        if self.kept is None:
            return self.listing
        items = "".join(
            f"<Contents><Key>{key.removeprefix('/bucket/')}</Key><Size>{len(content)}</Size></Contents>"
            for key, content in self.kept.items()
        )
        return LISTING.replace(b"></", f">{items}</".encode())


@pytest.fixture
def taker() -> Taker:
    return Taker()


@contextmanager
def serving(taker: Taker) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            key, query = urlsplit(self.path).path, urlsplit(self.path).query
            if self.command == "PUT" and taker.kept is not None:
                taker.kept[key] = b"x" * len(body) if taker.damages else body
            content = b"" if self.command in {"PUT", "HEAD"} else taker.list()
            if self.command == "GET" and "list-type" not in query and taker.kept is not None:
                content = taker.kept[key]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PUT = do_HEAD = do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (LOGIN, r"\(<html><body><h1>Welcome to our network …\)"),
        (b"<!DOCTYPE html>\n<html><p>no xml", r"\(<!DOCTYPE html> <html><p>no xml …\)"),
        (b"", r"\(nothing\)"),
        (b"\x00\xff\xfe", "answers what no storage says"),
        (b'{"status": "ok"}', r'\({"status": "ok"} …\)'),
        (b"<Error><Code>OddError</Code></Error>", "answers what no storage says"),
        (LISTING.replace(b"></", b"><Contents><Key>dvc/files/md5/a/b</Key></Contents></"), "a size that is"),
        (LISTING.replace(b"></", b"><NextContinuationToken>on</NextContinuationToken></"), "the same page"),
    ],
    ids=["login", "html", "empty", "binary", "json", "error", "no-size", "no-end"],
)
def test_what_is_no_storage_is_named_although_it_answers_200(
    answer: bytes, said: str, project: Path, taker: Taker
) -> None:
    taker.listing = answer
    with serving(taker) as endpoint:
        use(project, endpoint, "bucket")
        with pytest.raises(NoStorageError, match=said) as caught:
            push(project, stall_seconds=60)
    assert "check the endpoint in the stack's file" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("verb", [pull, verify], ids=["pull", "verify"])
def test_no_verb_takes_a_login_page_for_a_storage(verb, project: Path, taker: Taker) -> None:
    with serving(taker) as endpoint:
        use(project, endpoint, "bucket")
        with pytest.raises(NoStorageError):
            verb(project, stall_seconds=60)


def test_what_was_taken_and_is_not_there_afterwards_fails_the_push(project: Path, taker: Taker) -> None:
    taker.listing = LISTING
    with serving(taker) as endpoint:
        use(project, endpoint, "bucket")
        # All photos and build/list.txt; the lists that would promise them are not sent.
        with pytest.raises(NotKeptError, match=rf"took {PHOTOS + 1} objects and does not have them, e\.g\. "):
            push(project, stall_seconds=60)


def test_what_is_there_with_its_size_and_other_bytes_fails_the_push(project: Path, taker: Taker) -> None:
    taker.kept, taker.damages = {}, True
    with serving(taker) as endpoint:
        use(project, endpoint, "bucket")
        with pytest.raises(NotKeptError, match=f"took {PHOTOS + 1} objects"):
            push(project, stall_seconds=60)
    assert not [key for key in taker.kept if key.endswith(".dir")]


def test_service_that_lists_no_hash_is_believed_once_the_bytes_come_back(project: Path, taker: Taker) -> None:
    taker.kept = {}
    with serving(taker) as endpoint:
        use(project, endpoint, "bucket")
        assert push(project, stall_seconds=60).objects == PHOTOS + 3
        assert push(project, stall_seconds=60).objects == 0


def test_remote_that_is_left_to_dvc_says_what_was_sent(project: Path, bucket: S3Server) -> None:
    use(project, bucket.endpoint, "bucket")
    local = project / ".dvc/config.local"
    local.write_text(local.read_text().replace("verify = true", "verify = true\n    sse = AES256"))
    pushed = push(project)
    # All photos, their list, build/list.txt and its list, and the run that DVC remembers
    assert (pushed.objects, pushed.bytes) == (PHOTOS + 4, None)
    assert pushed.describe() == f"s3://bucket/dvc: {PHOTOS + 4} objects sent"


def test_remote_that_is_left_to_dvc_and_has_nothing_fails_the_push(project: Path, taker: Taker) -> None:
    (project / "note.txt").write_text("on decks")
    dvc(["add", "--quiet", "note.txt"], project)
    with serving(taker) as endpoint:
        dvc(["remote", "add", "--quiet", "--default", "web", f"{endpoint}/store"], project)
        # DVC believes that the file is there, since HEAD answers 200
        with pytest.raises(NotKeptError, match="took 1 object and does not have it"):
            push(project, paths=["note.txt"], stall_seconds=60)


def test_push_of_one_more_photo_reads_none_of_the_others_back(project: Path, bucket: S3Server) -> None:
    line = Line(bucket.port)
    line.mend()
    try:
        use(project, line.address, "bucket")
        push(project)
        (project / "data/images/new.jpg").write_bytes(b"new" * 700)
        dvc(["add", "--quiet", "data"], project)
        dvc(["repro", "--quiet"], project)
        line.bytes_received = 0
        pushed = push(project)
        # The photo, the list of photos, and build/ with its list
        assert pushed.objects == 4
        # Listings and no photo, which has 2,000 bytes
        assert line.bytes_received < PHOTOS * 2000
        assert verify(project, sample=None).findings == ()
    finally:
        line.cut()


def test_photo_that_only_another_clone_has_is_not_read_back(project: Path, bucket: S3Server) -> None:
    use(project, bucket.endpoint, "bucket")
    push(project)
    clone = clone_of(project)
    pull(clone)
    for cached in (clone / ".dvc/cache/files/md5").rglob("*"):
        if cached.is_file() and cached.stat().st_size == 2000:
            cached.unlink()
    (clone / "data/images/new.jpg").write_bytes(b"new" * 700)
    listed = {path.name: path for path in (clone / "data/images").iterdir()}
    assert len(listed) == PHOTOS + 1
    dvc(["add", "--quiet", "data"], clone)
    for cached in (clone / ".dvc/cache/files/md5").rglob("*"):
        if cached.is_file() and cached.stat().st_size == 2000:
            cached.unlink()
    line = Line(bucket.port)
    line.mend()
    try:
        use(clone, line.address, "bucket")
        assert push(clone, paths=["data"]).objects == 2
        assert line.bytes_received < PHOTOS * 2000
    finally:
        line.cut()


def test_two_pushes_to_one_folder_at_once_both_succeed(project: Path, template: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(template, tmp_path / "other", symlinks=True))
    for root in (project, other):
        (root / "stack.yaml").write_text(f"remote:\n  url: {tmp_path}/share\n")
        use_stack("stack.yaml", root)
    for _ in range(3):
        shutil.rmtree(tmp_path / "share", ignore_errors=True)
        pushes = [
            subprocess.Popen([sys.executable, "-c", PUSH], cwd=root, stdout=-1, stderr=-1, text=True)
            for root in (project, other, project, other)
        ]
        ended = [(one.communicate(), one.returncode) for one in pushes]
        assert [code for _, code in ended] == [0, 0, 0, 0], ended
        assert verify(project, sample=None).findings == ()
    assert list((tmp_path / "share/.incoming").iterdir()) == []


def test_what_a_killed_copy_has_left_long_ago_is_removed(project: Path, tmp_path: Path) -> None:
    (project / "stack.yaml").write_text(f"remote:\n  url: {tmp_path}/share\n")
    use_stack("stack.yaml", project)
    incoming = tmp_path / "share/.incoming"
    incoming.mkdir(parents=True)
    for name, age in (("old", 200_000), ("at-work", 100)):
        (incoming / name).write_bytes(b"half")
        changed = (incoming / name).stat().st_mtime - age
        os.utime(incoming / name, (changed, changed))
    push(project)
    assert [path.name for path in incoming.iterdir()] == ["at-work"]
