"""HTTP requests that are repeated as long as what stopped them passes."""

import random
import re
import threading
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

_BUSY = frozenset({429, 503})
_PASSING = _BUSY | {408, 425, 500, 502, 504}
_FAILURES = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
_CREATES = re.compile(rb"mutation (?!UploadFile|export|Connect)")


class GaveUpError(requests.RequestException):
    """What should have passed did not."""


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        tries: how often a request is sent at most.
        pause: seconds before the second try; doubled before each further one, then shortened at random.
        longest_pause: no pause of our own is longer, in seconds.
        longest_asked: if a server asks for a longer pause, in seconds, there is no further try.
        timeout: seconds to wait for a connection and for each part of an answer.
    """

    tries: int = 6
    pause: float = 1.0
    longest_pause: float = 30.0
    longest_asked: float = 300.0
    timeout: float = 60.0

    def seconds(self, attempt: int, asked: float = 0.0) -> float:
        """Give the pause after a failed attempt, counted from 1; never less than the server asked for."""
        own = min(self.longest_pause, self.pause * 2.0 ** (attempt - 1))
        return max(asked, own * random.uniform(0.5, 1.0))


class PatientAdapter(HTTPAdapter):
    """Sends the requests of a session, and sends them again after what passes.

    What passes: refused and lost connections, time-outs, answers cut short, the statuses 408, 425, 429 and
    5xx. A GraphQL mutation that creates something may have been carried out although its answer was lost, so
    it is sent again only after 429 and 503, which say that it was not.

    Args:
        patience: how long to try.
        connections: how many are kept open to one host.
        stop: once set, a request that waits for its next try gives up.
    """

    def __init__(
        self, patience: Patience, connections: int = 10, stop: threading.Event | None = None
    ) -> None:
        super().__init__(pool_connections=connections, pool_maxsize=connections)
        self._patience = patience
        self._stop = stop or threading.Event()

    def send(self, request: requests.PreparedRequest, *_ignored: Any, **options: Any) -> requests.Response:
        """Send a request until there is an answer, which is read to its end.

        Raises:
            GaveUpError: saying what stopped the last try.
        """
        options |= {"timeout": self._patience.timeout, "stream": False}
        body = request.body if isinstance(request.body, bytes) else b""
        creates = _CREATES.search(body[:4096]) is not None
        attempt = 0
        while True:
            attempt += 1
            asked, cause = 0.0, None
            try:
                response = super().send(request, **options)
                _ = response.content
            except requests.exceptions.SSLError as error:
                raise GaveUpError(f"no safe connection ({error})") from error
            except _FAILURES as error:
                problem, cause, again = self._words(error), error, not creates
            else:
                if response.status_code not in _PASSING:
                    return response
                problem = f"{response.status_code} {response.reason}"
                asked, again = asked_pause(response), not creates or response.status_code in _BUSY
            if asked > self._patience.longest_asked:
                raise GaveUpError(f"{problem}, and the server asks to wait {asked:.0f} s") from cause
            if not again or attempt == self._patience.tries:
                times = "once" if attempt == 1 else f"{attempt} times"
                raise GaveUpError(f"{problem}, {times}") from cause
            if self._stop.wait(self._patience.seconds(attempt, asked)):
                raise GaveUpError("stopped") from cause

    def _words(self, error: requests.RequestException) -> str:
        """Describe a failure without the request's address, which may be signed."""
        text = str(error)
        if isinstance(error, requests.Timeout) or "timed out" in text:
            return f"no answer within {self._patience.timeout:g} s"
        if isinstance(error, requests.exceptions.ChunkedEncodingError):
            return "the answer was cut short"
        return "no connection" if "NewConnection" in text or "NameResolution" in text else "connection lost"


def asked_pause(response: requests.Response) -> float:
    """Give the seconds that the header Retry-After asks for, 0 if there is none that can be read."""
    try:
        return Retry().parse_retry_after(response.headers.get("Retry-After", "0"))
    except InvalidHeader:
        return 0.0
