"""A folder in a bucket of any service that speaks S3: list, read and write, and no call that can hang.

AWS's own library does what must be right (credentials, signatures, connections). Its generated calls are left
out: each costs several milliseconds, more than sending a photo does.
"""

import base64
import hashlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar, cast
from urllib.parse import quote

from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ConnectionClosedError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)
from botocore.httpsession import URLLib3Session  # type: ignore[import-untyped]
from botocore.session import Session  # type: ignore[import-untyped]
from botocore.utils import get_environ_proxies  # type: ignore[import-untyped]
from defusedxml import DefusedXmlException, ElementTree
from urllib3.exceptions import HTTPError

from dobble.storage.errors import (
    BucketMissingError,
    NoStorageError,
    RemoteAccessError,
    RemoteClockError,
    RemoteError,
    RemoteStalledError,
    RemoteUnreachableError,
)
from dobble.storage.kept_objects import Stored

CONNECTIONS = 16
_CHUNK, _SHOWN = 1 << 20, 38
_SKEW_SECONDS = 300.0  # less than any service allows
_BUSY = {429, 500, 502, 503, 504}
_PAUSES = (0.5, 2.0)
_T = TypeVar("_T")


@dataclass(frozen=True)
class S3Settings:
    """What DVC's settings say about an S3 remote; what they leave open, AWS's own chain decides."""

    bucket: str
    prefix: str
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    key: str | None = None
    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    verify: str | bool | None = None


class S3Bucket:
    """A folder of a bucket. A call that fails for what may pass is tried three times.

    No socket waits longer than `stall_seconds` for the next piece to be taken or to arrive: that is the
    measure of progress, and it holds for a photo as well as for a checkpoint on a slow line.
    """

    def __init__(self, settings: S3Settings, stall_seconds: float) -> None:
        self._settings, self._stall = settings, stall_seconds
        self.name = f"s3://{settings.bucket}/{settings.prefix}".rstrip("/")
        try:
            session = Session(profile=settings.profile)
            scoped = session.get_scoped_config()
        except BotoCoreError as error:
            raise RemoteAccessError(self.name, str(error)) from None
        service = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        endpoint = settings.endpoint or service or scoped.get("endpoint_url")
        region = settings.region or session.get_config_variable("region") or "us-east-1"
        self._base = _address(endpoint, settings.bucket, region)
        self._signer = S3SigV4Auth(self._credentials(session), "s3", region)
        trust = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or True
        self._http = URLLib3Session(
            verify=trust if settings.verify is None else settings.verify,
            proxies=get_environ_proxies(self._base),
            timeout=(stall_seconds, stall_seconds),
            max_pool_connections=CONNECTIONS,
            # Else each upload waits 40 ms for the answer to its own header.
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )

    def list(self, folder: str) -> dict[str, Stored]:
        """Give size and ETag of every object below a folder, by its key relative to that folder.

        Raises:
            NoStorageError: if what answers does not list a bucket.
        """
        start = self._key(folder) + "/"
        found: dict[str, Stored] = {}
        query = {"list-type": "2", "prefix": start}
        while True:
            page = self._page(self._send("GET", "", lambda answer: answer.content, query=query))
            try:
                for item in page.findall("{*}Contents"):
                    key, etag = (item.findtext(f"{{*}}{name}") or "" for name in ("Key", "ETag"))
                    size = int(item.findtext("{*}Size") or "")
                    found[key.removeprefix(start)] = Stored(size, etag.strip('"') or None)
            except ValueError:
                raise NoStorageError(self.name, "a size that is no number") from None
            following = page.findtext("{*}NextContinuationToken")
            if not following:
                return found
            if following == query.get("continuation-token"):
                raise NoStorageError(self.name, "the same page again and again")
            query["continuation-token"] = following

    def read(self, key: str) -> bytes:
        """Give the bytes of a small object.

        Raises:
            FileNotFoundError: if there is no such object.
        """
        return self._send("GET", self._key(key), lambda answer: cast("bytes", answer.content))

    def md5(self, key: str) -> str:
        """Fetch an object of any size and give the MD5 of its bytes (hexadecimal).

        Raises:
            FileNotFoundError: if there is no such object.
        """
        return self._send("GET", self._key(key), _md5_of, stream=True)

    def write(self, key: str, source: Path, md5: str) -> None:
        """Send a file; the service refuses it unless what arrives has this MD5 (hexadecimal)."""
        headers = {"Content-MD5": base64.b64encode(bytes.fromhex(md5)).decode()}
        with source.open("rb") as file:
            # What fits goes out in one piece, not in those of 16 kB that Python makes of a file.
            start = file.read(_CHUNK)
            body = file if len(start) == _CHUNK else start
            self._send("PUT", self._key(key), _nothing, body=body, headers=headers)

    def _page(self, content: bytes) -> Any:
        """Read a page of a listing, which whatever else answers at an address does not send."""
        try:
            page = ElementTree.fromstring(content)
        except (ElementTree.ParseError, DefusedXmlException):
            page = None
        if page is None or page.tag.rpartition("}")[2] != "ListBucketResult":
            start = " ".join(content[:_SHOWN].decode(errors="replace").split())
            raise NoStorageError(self.name, f"{start} …" if start else "nothing")
        return page

    def _key(self, key: str) -> str:
        return f"{self._settings.prefix}/{key}".strip("/")

    def _credentials(self, session: Any) -> Any:
        given = self._settings
        if given.key is not None and given.secret is not None:
            return Credentials(given.key, given.secret, given.token)
        try:
            found = session.get_credentials()
        except BotoCoreError as error:
            raise RemoteAccessError(self.name, str(error)) from None
        if found is None:
            raise RemoteAccessError(self.name, "no credentials found")
        return found

    def _send(self, method: str, key: str, take: Callable[[Any], _T], **options: Any) -> _T:
        for pause in _PAUSES:
            try:
                return self._try(method, key, take, **options)
            except (RemoteStalledError, RemoteUnreachableError):
                time.sleep(pause)
        return self._try(method, key, take, **options)

    def _try(
        self,
        method: str,
        key: str,
        take: Callable[[Any], _T],
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: BinaryIO | bytes = b"",
        stream: bool = False,
    ) -> _T:
        if not isinstance(body, bytes):
            body.seek(0)
        url = f"{self._base}/{quote(key, safe='/~')}"
        request = AWSRequest(method, url, headers or {}, body, query or {}, stream_output=stream)
        try:
            self._signer.add_auth(request)
            answer = self._http.send(request.prepare())
            if answer.status_code < 300:
                return take(answer)
            self._refuse(answer, key)
        except (BotoCoreError, HTTPError, OSError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise self._named(error) from error

    def _refuse(self, answer: Any, key: str) -> NoReturn:
        status, code = answer.status_code, _error_code(answer.content)
        if status in _BUSY:
            raise RemoteUnreachableError(self.name, f"it answers {status} {code}")
        if code == "NoSuchBucket":
            raise BucketMissingError(self.name)
        if status == 404:
            raise FileNotFoundError(key)
        region = answer.headers.get("x-amz-bucket-region")
        if status in {301, 307, 400} and region:
            raise RemoteError(f"{self.name} lives in region {region}: say so in the stack's file")
        if status == 403 and abs(skew := _skew(answer)) > _SKEW_SECONDS:
            raise RemoteClockError(self.name, skew)
        if status in {401, 403}:
            raise RemoteAccessError(self.name, code or str(status))
        raise RemoteError(f"{self.name} answers {status} {code}")

    def _named(self, error: Exception) -> RemoteError:
        if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
            return RemoteAccessError(self.name, str(error))
        if isinstance(error, ReadTimeoutError | TimeoutError) or "timed out" in str(error):
            return RemoteStalledError(self.name, self._stall)
        reason = (
            "connection broke off"
            if isinstance(error, ConnectionClosedError)
            else " ".join(str(error).split())
        )
        return RemoteUnreachableError(self.name, reason)


def _address(endpoint: str | None, bucket: str, region: str) -> str:
    if endpoint is not None:
        return f"{endpoint.rstrip('/')}/{bucket}"
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    # A bucket with dots in its name does not fit the certificate for <bucket>.s3….
    return (
        f"https://s3.{region}.{domain}/{bucket}"
        if "." in bucket
        else f"https://{bucket}.s3.{region}.{domain}"
    )


def _md5_of(answer: Any) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for piece in answer.raw.stream(_CHUNK):
        digest.update(piece)
    return digest.hexdigest()


def _nothing(answer: Any) -> None:
    """Leave out what the service says about a file that it took."""


def _skew(answer: Any) -> float:
    """Say by how many seconds the answering clock is ahead of the one here; 0 if it does not tell."""
    try:
        said = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        return 0.0
    return (said - datetime.now(tz=UTC)).total_seconds()


def _error_code(content: bytes) -> str:
    try:
        return ElementTree.fromstring(content).findtext("{*}Code") or ""
    except (ElementTree.ParseError, DefusedXmlException):
        return ""
