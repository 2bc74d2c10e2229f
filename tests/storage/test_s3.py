"""What the real server never does when it is asked to: paging, throttling, resets, redirects to a region."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from dobble.storage.errors import RemoteAccessError, RemoteError, RemoteUnreachableError
from dobble.storage.places import Stored
from dobble.storage.s3 import S3Bucket, S3Settings

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dobble.storage.s3._PAUSES", (0.01, 0.01))


@contextmanager
def standing_in(answer: Callable[[str, str, bytes], Answer | None]) -> Iterator[S3Bucket]:
    """Serve answers by method, path and body; None breaks the connection off."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            given = answer(self.command, self.path, body)
            if given is None:
                self.connection.close()
                return
            status, headers, content = given
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_PUT = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield S3Bucket(S3Settings("deck", "photos", endpoint, "us-east-1", key="k", secret="s"), 5)
    finally:
        server.shutdown()
        server.server_close()


def error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


def test_listing_goes_on_from_page_to_page() -> None:
    def answer(method: str, path: str, body: bytes) -> Answer:
        query = parse_qs(urlsplit(path).query)
        assert query["prefix"] == ["photos/files/md5/"]
        page = int(query.get("continuation-token", ["0"])[0])
        item = f"<Contents><Key>photos/files/md5/0{page}/x</Key><Size>{page + 5}</Size>"
        item += "<ETag>&quot;abc&quot;</ETag></Contents>"
        following = f"<NextContinuationToken>{page + 1}</NextContinuationToken>" if page < 2 else ""
        return 200, {}, f"<ListBucketResult {NAMESPACE}>{item}{following}</ListBucketResult>".encode()

    with standing_in(answer) as bucket:
        assert bucket.list("files/md5") == {f"0{page}/x": Stored(page + 5, "abc") for page in range(3)}


@pytest.mark.parametrize(
    "first", [(503, {}, error("SlowDown")), (500, {}, b"oops"), None], ids=["503", "500", "reset"]
)
def test_what_passes_is_tried_again_with_the_whole_file(first: Answer | None, tmp_path: Path) -> None:
    bodies: list[bytes] = []

    def answer(method: str, path: str, body: bytes) -> Answer | None:
        bodies.append(body)
        return first if len(bodies) < 3 else (200, {}, b"")

    (tmp_path / "photo").write_bytes(b"photo" * 1000)
    md5 = hashlib.md5((tmp_path / "photo").read_bytes()).hexdigest()
    with standing_in(answer) as bucket:
        bucket.write("a/b", tmp_path / "photo", md5)
    assert bodies == [b"photo" * 1000] * 3


def test_what_does_not_pass_is_tried_three_times_at_most() -> None:
    tries: list[str] = []

    def answer(method: str, path: str, body: bytes) -> Answer:
        tries.append(path)
        return 503, {}, error("SlowDown")

    with (
        standing_in(answer) as bucket,
        pytest.raises(RemoteUnreachableError, match="it answers 503 SlowDown"),
    ):
        bucket.read("key")
    assert len(tries) == 3


@pytest.mark.parametrize(
    ("given", "expected", "message"),
    [
        ((403, {}, error("SignatureDoesNotMatch")), RemoteAccessError, r"\(SignatureDoesNotMatch\)"),
        ((301, {"x-amz-bucket-region": "eu-west-1"}, b""), RemoteError, "lives in region eu-west-1: say so"),
        ((400, {}, error("BadDigest")), RemoteError, "answers 400 BadDigest"),
        ((404, {}, error("NoSuchKey")), FileNotFoundError, "photos/key"),
    ],
)
def test_what_is_wrong_is_said_at_once(given: Answer, expected: type[Exception], message: str) -> None:
    tries: list[str] = []

    def answer(method: str, path: str, body: bytes) -> Answer:
        tries.append(path)
        return given

    with standing_in(answer) as bucket, pytest.raises(expected, match=message):
        bucket.read("key")
    assert tries == ["/deck/photos/key"]


def test_settings_never_show_the_secret() -> None:
    assert "hush" not in repr(S3Settings("deck", "photos", key="k", secret="hush", token="hush"))
