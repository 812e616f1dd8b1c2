"""A hub on this machine: serves a folder the way huggingface.co serves a repository, so that tests need no network."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parent.parent


class _Handler(BaseHTTPRequestHandler):
    """Keeps the requests, such as "GET /cvssp/audioldm2/resolve/...", and answers as `server.fault` wants it.

    That is a function of a request: it gives the status to refuse it with, or None.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.requests.append(f"{self.command} {path}")
        fault = self.server.fault(self.server.requests[-1])
        status, headers, body = (fault, {}, b"It went wrong") if fault else self._answer(path)
        self.send_response(status)
        for key, value in (headers | {"Content-Length": len(body)}).items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def _answer(self, path):
        repo, revision, folder = self.server.repo, self.server.revision, self.server.folder
        files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
        sizes = [(name, file.stat().st_size) for name, file in files.items()]
        file = files.get(path.removeprefix(f"/{repo}/resolve/{revision}/"))
        if path.startswith(f"/api/models/{repo}/tree/"):
            found = [{"type": "file", "path": n, "size": size, "oid": _digest(files[n])} for n, size in sizes]
        elif f"{path}/".startswith(f"/api/models/{repo}/"):
            found = {"id": repo, "sha": revision, "siblings": [{"rfilename": n, "size": size} for n, size in sizes]}
        elif file:
            return 200, {"X-Repo-Commit": revision, "ETag": f'"{_digest(file)}"'}, file.read_bytes()
        else:
            return 404, {"X-Error-Code": "EntryNotFound"}, b"Not found"
        return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()

    def log_message(self, *args):
        """Say nothing; the requests are in `server.requests`."""


def _digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


@contextmanager
def serve(folder, repo, revision):
    """Serve a folder as a repository for a while; yields the server, with its `url` and its `requests` so far."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.repo, server.revision, server.folder = repo, revision, Path(folder)
        server.fault, server.requests = lambda request: None, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever).start()
        try:
            yield server
        finally:
            server.shutdown()
