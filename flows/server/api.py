"""Asks Prefect's server, which answers 503 while its database is busy."""

from collections.abc import Container
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from dobble.errors import ServiceError

# These say that nothing was done, so that a POST may be sent again.
_BUSY = (502, 503, 504)
_AGAIN = Retry(
    total=8, connect=4, backoff_factor=0.2, backoff_max=10, status_forcelist=_BUSY, allowed_methods=None
)


def ask(address: str, body: dict[str, Any] | None = None, allowed: Container[int] = ()) -> Any:
    """Get an address of the API, or post to it if there is a body; give what the answer's JSON holds.

    A server that is busy is asked again, for half a minute at most.

    Args:
        address: with the server's.
        body: made JSON.
        allowed: statuses that are no failure, beside the good ones.

    Raises:
        ServiceError: if there is no good answer.
    """
    try:
        with requests.Session() as session:
            session.trust_env = False  # a proxy knows no server of 127.0.0.1
            session.mount("http://", HTTPAdapter(max_retries=_AGAIN))
            said = session.request("GET" if body is None else "POST", address, json=body, timeout=60)
    except requests.RequestException as error:
        raise ServiceError("Prefect", f"does not answer at {address}", [str(error)]) from error
    if not said.ok and said.status_code not in allowed:
        raise ServiceError("Prefect", f"answers {said.status_code} at {address}", [said.text])
    return said.json()
