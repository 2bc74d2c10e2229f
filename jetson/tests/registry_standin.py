"""Answers as MLflow's registry does for one bundle's folder, and fails as it is told to."""

import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from threading import Thread
from urllib.parse import parse_qs, urlsplit


class Registry(ThreadingMixIn, HTTPServer):
    """One model `dobble` with the versions that it is given; use it in a `with` block.

    Attributes:
        versions: a bundle's folder for each version's number.
        champion: the version that the alias stands for.
        authorization: the header that every request must carry, or None.
        chunked: whether files come without a length.
        faults: what to do instead with the next requests for a file, by the file's name: a list of
            status codes, or ("cut", bytes) for an answer that ends early.
        asked: (path, file, Range header) of each request.
    """

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.versions = {"1": folder}
        self.champion = "1"
        self.authorization = None
        self.chunked = False
        self.faults = {}
        self.asked = []

    @property
    def address(self):
        return "http://127.0.0.1:{}".format(self.server_address[1])

    def __enter__(self):
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        file = query.get("path", "")
        self.server.asked.append((parts.path, file, self.headers.get("Range")))
        if self.server.authorization not in (None, self.headers.get("Authorization")):
            self.refuse(401, "You are not authenticated")
        elif parts.path == "/api/2.0/mlflow/registered-models/alias":
            known = query == {"name": "dobble", "alias": "champion"}
            self.tell(self.server.champion) if known else self.refuse(
                400, "Registered model alias not found."
            )
        elif parts.path == "/api/2.0/mlflow/model-versions/get":
            known = query["name"] == "dobble" and query["version"] in self.server.versions
            self.tell(query["version"]) if known else self.refuse(404, "Model Version not found")
        elif parts.path == "/model-versions/get-artifact":
            self.send_file(os.path.join(self.server.versions[query["version"]], *file.split("/")), file)
        else:
            self.refuse(404, "no such path")

    def tell(self, version):
        answer = {"name": "dobble", "version": version, "run_id": "run-" + version, "status": "READY"}
        self.send(200, json.dumps({"model_version": answer}).encode())

    def refuse(self, status, message):
        self.send(status, json.dumps({"error_code": "CODE", "message": message}).encode())

    def send_file(self, path, name):
        faults = self.server.faults.get(name, [])
        fault = faults.pop(0) if faults else None
        if isinstance(fault, int):
            self.refuse(fault, "told to")
            return
        if not os.path.isfile(path):
            self.refuse(404, "no such artifact")
            return
        with open(path, "rb") as stream:
            body = stream.read()
        wanted = self.headers.get("Range")
        start = int(wanted[len("bytes=") : -1]) if wanted else 0
        self.send(206 if wanted else 200, body[start:], cut=fault[1] if fault else None)

    def send(self, status, body, cut=None):
        self.send_response(status)
        if self.server.chunked and status < 300:
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        else:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        self.close_connection = True
