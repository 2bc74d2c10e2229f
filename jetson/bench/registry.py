"""Turns a benchmark's verdict and page into tags and an artifact of the model's version in MLflow's registry.

Plain HTTP to MLflow 3.17's REST API, so that a device needs no MLflow of its own.
"""

import base64
import contextlib
import json
import os
import posixpath
import re
from http.client import HTTPException
from typing import Any, Dict, Optional
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlencode, urlsplit
from urllib.request import Request, build_opener

from jetson.bench.choice import Choice
from jetson.errors import RegistryError
from jetson.fetch.sources import PASSWORD, USER

TIMEOUT = 30.0
MODEL_TAG = "model.sha256"  # set where the bundle is registered
LARGEST = 1 << 20  # bytes of an answer that are read
PROXIED = "mlflow-artifacts"  # artifacts that go through the server, not straight to a store


class ModelVersion:
    """One version of a registered model on an MLflow server.

    User and password come from the address or from MLflow's own environment variables; no message shows them.

    Args:
        server: http or https address.
        model: name of the registered model.
        version: its number.

    Raises:
        RegistryError: the address is none.
    """

    def __init__(self, server: str, model: str, version: str) -> None:
        parts = urlsplit(server)
        host = parts.netloc.rpartition("@")[2]
        if parts.scheme not in ("http", "https") or not host:
            raise RegistryError(host or "--mlflow", "is no address of a server: write http://HOST:PORT")
        self.address = "{}://{}{}".format(parts.scheme, host, parts.path.rstrip("/"))
        self._model, self._version = model, version
        user = unquote(parts.username) if parts.username else os.environ.get(USER, "")
        password = unquote(parts.password) if parts.password else os.environ.get(PASSWORD, "")
        self._token = None  # type: Optional[str]
        if user and password:
            self._token = base64.b64encode("{}:{}".format(user, password).encode("utf-8")).decode("ascii")

    def log(self, choice: Choice, page: str) -> str:
        """Tag the version with the verdict and put the page beside its files.

        Args:
            choice: what was measured.
            page: path of the HTML page.

        Returns:
            What was done, in one line.

        Raises:
            RegistryError: the server cannot be reached or refuses, or the version is of another model.
        """
        self._check_model(choice.model_sha256)
        tags = to_tags(choice)
        prefix = "benchmark.{}.".format(slug(choice.board))
        kept = self._upload(page, "{}-{}.html".format(slug(choice.board), choice.date.replace(":", "")))
        if kept is not None:
            tags["page"] = kept
        for name in sorted(tags):
            value = {"name": self._model, "version": self._version, "key": prefix + name, "value": tags[name]}
            self._call("POST", "/api/2.0/mlflow/model-versions/set-tag", value)
        told = "{} version {} on {} has the verdict in tags {}*".format(
            self._model, self._version, self.address, prefix
        )
        if kept is None:
            return told + "; its artifacts do not pass through the server, so the page stays here"
        return "{} and the page as artifact {}".format(told, kept)

    def _check_model(self, sha256: str) -> None:
        query = {"name": self._model, "version": self._version}
        answer = self._call("GET", "/api/2.0/mlflow/model-versions/get", query)
        tags = {tag.get("key"): tag.get("value") for tag in answer.get("model_version", {}).get("tags", [])}
        if tags.get(MODEL_TAG, sha256) != sha256:
            problem = "version {} of {} is another model than the one measured: name its --version"
            raise RegistryError(self.address, problem.format(self._version, self._model))

    def _upload(self, page: str, name: str) -> Optional[str]:
        """Put the page beside the version's files; return where, or None if the server does not keep them."""
        query = {"name": self._model, "version": self._version}
        answer = self._call("GET", "/api/2.0/mlflow/model-versions/get-download-uri", query)
        place = urlsplit(str(answer.get("artifact_uri", "")))
        if place.scheme != PROXIED:
            return None
        root = place.path.strip("/")
        # What is registered as a run's bundle stays as it is; the run takes the page.
        root = posixpath.dirname(root) if posixpath.basename(root) == "bundle" else root
        with open(page, "rb") as stream:
            body = stream.read()
        path = "/api/2.0/mlflow-artifacts/artifacts/{}/benchmarks/{}".format(quote(root), quote(name))
        self._call("PUT", path, body=body)
        return "benchmarks/" + name

    def _call(
        self, method: str, path: str, values: Optional[Dict[str, str]] = None, body: Optional[bytes] = None
    ) -> Dict[str, Any]:
        url, kind = self.address + path, "text/html"
        if method == "POST":
            body, kind = json.dumps(values).encode("utf-8"), "application/json"
        elif values:
            url = "{}?{}".format(url, urlencode(values))
        request = Request(url, data=body, method=method)  # noqa: S310 - http or https, checked above
        if body is not None:
            request.add_header("Content-Type", kind)
        if self._token is not None:
            # A redirect may lead to another host, which must not learn the password.
            request.add_unredirected_header("Authorization", "Basic " + self._token)
        try:
            with contextlib.closing(build_opener().open(request, timeout=TIMEOUT)) as answer:
                said = json.loads(answer.read(LARGEST).decode("utf-8") or "{}")
        except HTTPError as error:
            with contextlib.closing(error):
                raise RegistryError(self.address, self._refused(error)) from None
        except (OSError, HTTPException) as error:
            reason = " ".join(str(getattr(error, "reason", error)).split())
            problem = "cannot be reached ({}): check the address and the network".format(reason)
            raise RegistryError(self.address, problem) from None
        except ValueError:
            problem = "does not answer as MLflow does: check the address"
            raise RegistryError(self.address, problem) from None
        return said if isinstance(said, dict) else {}

    def _refused(self, error: HTTPError) -> str:
        if error.code in (401, 403):
            return "refuses ({}): set {} and {}".format(error.code, USER, PASSWORD)
        try:
            said = " ".join(str(json.loads(error.read(LARGEST).decode("utf-8"))["message"]).split())[:200]
        except (OSError, ValueError, KeyError, TypeError, HTTPException):
            said = str(error.reason)
        if error.code in (400, 404):
            told = "knows no version {} of {} ({}): name another --version"
            return told.format(self._version, self._model, said)
        return "answered {} ({}): try again later".format(error.code, said)


def to_tags(choice: Choice) -> Dict[str, str]:
    """Return what a version's tags tell of a benchmark: the verdict, and the winner's numbers where known."""
    tags = {
        "winner": choice.winner,
        "order": ", ".join(choice.order),
        "reason": choice.reason,
        "date": choice.date,
        "quick": str(choice.quick).lower(),
        "board": choice.board,
        "versions": ", ".join(
            "{} {}".format(name, choice.versions[name]) for name in sorted(choice.versions)
        ),
    }
    for candidate in choice.candidates:
        values = candidate._asdict()
        for field in ("p50_ms", "p90_ms", "p99_ms", "frame_p50_ms", "energy_mj", "memory_mb"):
            if values[field] is not None:
                tags["{}.{}".format(candidate.name, field)] = "{:g}".format(values[field])
        if not candidate.eligible:
            tags["{}.not_eligible".format(candidate.name)] = candidate.reason
    return tags


def slug(text: str) -> str:
    """Return a name that may stand in a tag and in a path."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "device"
