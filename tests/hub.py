"""A hub on this machine: serves a folder the way huggingface.co serves a repository, so that tests need no network."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parent.parent


class _Handler(BaseHTTPRequestHandler):
    """Answers for `server.repo` at `server.revision` from `server.folder`; keeps the requested paths.

    `server.faults` says what goes wrong: it maps a part of a request, such as "GET /cvssp/audioldm2/resolve", to an
    iterator that yields what happens to each request which contains that part, until it ends. That is a status, such as
    404, or a function of the body, which returns the pieces that are sent: where they are less than the body, the
    connection breaks.
    """

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def _answer(self, with_body):
        repo, revision, folder = self.server.repo, self.server.revision, self.server.folder
        path = self.path.partition("?")[0]
        request = f"{self.command} {path}" + (f" {self.headers['Range']}" if "Range" in self.headers else "")
        with self.server.lock:
            self.server.requests.append(request)
            self.fault = next((next(f, None) for part, f in self.server.faults.items() if part in request), None)
        if isinstance(self.fault, int):
            return self._send(b"It went wrong", {}, with_body, status=self.fault)
        files = {str(f.relative_to(folder)): f for f in sorted(folder.rglob("*")) if f.is_file()}
        name = path.removeprefix(f"/{repo}/resolve/{revision}/")
        if path.startswith(f"/api/models/{repo}/tree/"):
            entries = [
                {"type": "file", "path": n, "size": f.stat().st_size, "oid": _digest(f)} for n, f in files.items()
            ]
            self._send(json.dumps(entries).encode(), {"Content-Type": "application/json"}, with_body)
        elif f"{path}/".startswith(f"/api/models/{repo}/"):
            siblings = [{"rfilename": n, "size": f.stat().st_size} for n, f in files.items()]
            info = {"id": repo, "sha": revision, "siblings": siblings}
            self._send(json.dumps(info).encode(), {"Content-Type": "application/json"}, with_body)
        elif name in files:
            headers = {"X-Repo-Commit": revision, "ETag": f'"{_digest(files[name])}"', "Accept-Ranges": "bytes"}
            self._send(files[name].read_bytes(), headers, with_body)
        else:
            self._send(b"Not found", {"X-Error-Code": "EntryNotFound"}, with_body, status=404)

    def _send(self, body, headers, with_body, status=200):
        wanted = self.headers.get("Range")
        if wanted and status == 200:  # "bytes=first-" or "bytes=first-last"
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            last = int(last) if last else len(body) - 1
            headers = headers | {"Content-Range": f"bytes {first}-{last}/{len(body)}"}
            body, status = body[int(first) : last + 1], 206
        self.send_response(status)
        for key, value in (headers | {"Content-Length": len(body)}).items():
            self.send_header(key, str(value))
        self.end_headers()
        if not with_body:
            return
        pieces = self.fault(body) if callable(self.fault) else [body]
        for piece in pieces:
            self.wfile.write(piece)
        self.close_connection = sum(map(len, pieces)) < len(body)

    def log_message(self, *args):
        """Say nothing; the paths are in `server.requests`."""


def _digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


@contextmanager
def serve(folder, repo, revision):
    """Serve a folder as a repository for a while; yields the server, with its `url` and its `requests` so far."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.lock, server.faults = threading.Lock(), {}
    server.repo, server.revision, server.folder, server.requests = repo, revision, Path(folder), []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(code, endpoint, cache):
    """Run Python code in the folder `cache`, with `endpoint` for the hub and downloads to that folder.

    In a process of its own, because huggingface_hub reads its settings when it is imported.
    """
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "0", "PYTHONPATH": str(ROOT)}
    settings |= {"NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=os.environ | settings, cwd=cache, capture_output=True, text=True, timeout=300)
