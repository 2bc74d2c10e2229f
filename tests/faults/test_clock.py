"""A storage whose clock differs from the one here."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from dobble.storage.errors import RemoteClockError
from dobble.storage.s3 import S3Bucket, S3Settings

MINUTES_AHEAD = 20


class Refusing(BaseHTTPRequestHandler):
    """Refuses as S3 does when a request seems to be too old."""

    def do_GET(self) -> None:
        ahead = datetime.now(tz=UTC) + timedelta(minutes=MINUTES_AHEAD)
        body = b"<Error><Code>RequestTimeTooSkewed</Code></Error>"
        self.send_response_only(403)
        self.send_header("Date", format_datetime(ahead, usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_clock_that_is_wrong_is_named_instead_of_credentials(endpoint: str) -> None:
    bucket = S3Bucket(S3Settings("deck", "photos", endpoint, "us-east-1", key="k", secret="s"), 60)
    with pytest.raises(RemoteClockError, match=r"the clock here is 20 minutes behind: set it") as error:
        bucket.list("")
    assert 19 < error.value.seconds / 60 <= MINUTES_AHEAD
