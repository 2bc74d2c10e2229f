import base64
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from jetson.bench.choice import Candidate, Choice
from jetson.bench.registry import ModelVersion, slug, to_tags
from jetson.errors import RegistryError

CHOICE = Choice(
    winner="tensorrt-fp16",
    order=["tensorrt-fp16", "onnxruntime-cpu"],
    reason="faster",
    date="2026-01-02T03:04:05Z",
    model_sha256="ab" * 32,
    board="NVIDIA Jetson Nano Developer Kit",
    versions={"tensorrt": "8.2.1", "python": "3.6.9"},
    quick=False,
    candidates=[
        Candidate("tensorrt-fp16", True, "agrees", 21.5, 22.0, 25.125, 70.2, 350.0, 210.0, 1100.5, False),
        Candidate("tensorrt-fp32", False, "exit code -9"),
        Candidate("onnxruntime-cpu", True, "agrees", 210.0, 214.0, 230.0, 480.0, None, None, 150.0),
    ],
)
BOARD = "benchmark.nvidia-jetson-nano-developer-kit."


class Mlflow(HTTPServer):
    """Answers as MLflow's REST API does for version 3 of `dobble`, and remembers what it was given."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.tags = {"model.sha256": CHOICE.model_sha256}
        self.artifacts = {}
        self.root = "mlflow-artifacts:/1/0123abcd/artifacts/bundle"
        self.authorization = None
        self.status = 200

    def address(self, user=""):
        return "http://{}127.0.0.1:{}".format(user, self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, values, status=200):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(values).encode())

    def refused(self):
        if self.server.authorization not in (None, self.headers.get("Authorization")):
            self.answer({"message": "You are not authenticated"}, 401)
        elif self.server.status != 200:
            self.answer({"message": "told to"}, self.server.status)
        else:
            return False
        return True

    def do_GET(self):
        parts = urlsplit(self.path)
        if self.refused():
            return
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if query != {"name": "dobble", "version": "3"}:
            self.answer({"message": "Model Version not found"}, 404)
        elif parts.path == "/api/2.0/mlflow/model-versions/get":
            tags = [{"key": key, "value": self.server.tags[key]} for key in self.server.tags]
            self.answer({"model_version": dict(query, tags=tags)})
        elif parts.path == "/api/2.0/mlflow/model-versions/get-download-uri":
            self.answer({"artifact_uri": self.server.root})
        else:
            self.answer({"message": "no such path"}, 404)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if self.refused():
            return
        assert self.path == "/api/2.0/mlflow/model-versions/set-tag"
        assert (body["name"], body["version"]) == ("dobble", "3")
        self.server.tags[body["key"]] = body["value"]
        self.answer({})

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.refused():
            self.server.artifacts[self.path] = body
            self.answer({})


@pytest.fixture
def server():
    with_server = Mlflow()
    Thread(target=with_server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield with_server
    with_server.shutdown()
    with_server.server_close()


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "benchmark.html"
    path.write_text("<p>40 °C</p>", encoding="utf-8")
    return str(path)


def test_the_verdict_becomes_tags_and_the_page_an_artifact_beside_the_bundle(server, page):
    told = ModelVersion(server.address() + "/", "dobble", "3").log(CHOICE, page)
    name = "nvidia-jetson-nano-developer-kit-2026-01-02T030405Z.html"
    path = "/api/2.0/mlflow-artifacts/artifacts/1/0123abcd/artifacts/benchmarks/" + name
    assert server.artifacts == {path: "<p>40 °C</p>".encode("utf-8")}
    tags = {key[len(BOARD) :]: server.tags[key] for key in server.tags if key.startswith(BOARD)}
    assert tags["page"] == "benchmarks/" + name
    assert (tags["winner"], tags["order"]) == ("tensorrt-fp16", "tensorrt-fp16, onnxruntime-cpu")
    assert (tags["tensorrt-fp16.p50_ms"], tags["tensorrt-fp16.energy_mj"]) == ("21.5", "350")
    assert tags["tensorrt-fp32.not_eligible"] == "exit code -9"
    assert "onnxruntime-cpu.energy_mj" not in tags
    assert tags["versions"] == "python 3.6.9, tensorrt 8.2.1"
    assert told.startswith("dobble version 3 on {} has the verdict".format(server.address()))
    assert told.endswith("artifact benchmarks/" + name)


def test_a_store_that_the_server_does_not_pass_on_leaves_the_page_here(server, page):
    server.root = "s3://bucket/1/0123abcd/artifacts/bundle"
    told = ModelVersion(server.address(), "dobble", "3").log(CHOICE, page)
    assert "the page stays here" in told
    assert server.artifacts == {}
    assert server.tags[BOARD + "winner"] == "tensorrt-fp16"


def test_a_version_of_another_model_gets_nothing(server, page):
    server.tags["model.sha256"] = "00" * 32
    with pytest.raises(RegistryError, match="version 3 of dobble is another model than the one measured"):
        ModelVersion(server.address(), "dobble", "3").log(CHOICE, page)
    assert server.artifacts == {}
    assert set(server.tags) == {"model.sha256"}


@pytest.mark.parametrize("place", ["address", "environment"])
def test_user_and_password_reach_the_server_and_no_message(server, page, monkeypatch, place):
    server.authorization = "Basic " + base64.b64encode(b"nano:s3cr:et").decode()
    address = server.address("nano:s3cr%3Aet@" if place == "address" else "")
    if place == "environment":
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "nano")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cr:et")
    told = ModelVersion(address, "dobble", "3").log(CHOICE, page)
    assert "s3cr" not in told
    assert server.tags[BOARD + "winner"] == "tensorrt-fp16"
    server.status = 500
    with pytest.raises(RegistryError) as failure:
        ModelVersion(address, "dobble", "3").log(CHOICE, page)
    assert "s3cr" not in str(failure.value)
    assert "answered 500 (told to): try again later" in str(failure.value)


def test_a_refusal_names_the_variables(server, page):
    server.authorization = "Basic something"
    with pytest.raises(RegistryError, match=r"refuses .401.: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACK"):
        ModelVersion(server.address(), "dobble", "3").log(CHOICE, page)


def test_an_unknown_version_is_named(server, page):
    with pytest.raises(RegistryError, match=r"knows no version 4 of dobble .Model Version not found.: name"):
        ModelVersion(server.address(), "dobble", "4").log(CHOICE, page)


def test_no_server_is_one_line(server, page):
    address = server.address()
    server.server_close()
    with pytest.raises(RegistryError, match="cannot be reached"):
        ModelVersion(address, "dobble", "3").log(CHOICE, page)
    with pytest.raises(RegistryError, match="is no address of a server"):
        ModelVersion("localhost:5000", "dobble", "3")


def test_tags_need_no_numbers_that_were_not_measured():
    tags = to_tags(CHOICE._replace(candidates=[], quick=True))
    assert tags["quick"] == "true"
    assert not any(name.endswith("_ms") for name in tags)


def test_a_board_s_name_fits_a_tag():
    assert slug("Intel(R) Xeon(R) Processor @ 2.10GHz") == "intel-r-xeon-r-processor-2-10ghz"
