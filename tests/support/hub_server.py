"""A hub of models over HTTP, as huggingface_hub asks one: a model's list of files, and the files, in ranges too."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


@dataclass(slots=True)
class Hub:
    """What a test sees of it, and what it may break."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    """Files whose last byte is sent wrong."""
    cut: set[str] = field(default_factory=set)
    """Files that break off half way, once."""


@contextmanager
def hub_server(name: str, folder: Path) -> Iterator[Hub]:
    """Serve one model from a folder; `*.safetensors` are large files with a checksum."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
            if path.startswith(f"/api/models/{name}/tree/"):
                self._send(200, json.dumps(_tree(folder)).encode(), {"Content-Type": "application/json"})
            elif path.startswith(f"/api/models/{name}"):
                self._send(200, json.dumps(_about(name, folder)).encode(), {"Content-Type": "application/json"})
            elif path.startswith(f"/{name}/resolve/") and (folder / path.split("/", 5)[-1]).is_file():
                self._file(path.split("/", 5)[-1], with_body=with_body)
            else:
                self._send(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})

        def _file(self, file: str, *, with_body: bool) -> None:
            data = (folder / file).read_bytes()
            headers = {"ETag": f'"{_tag(folder / file)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            if file in hub.damaged:
                data = data[:-1] + bytes([data[-1] ^ 1])
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            if with_body and file in hub.cut:
                hub.cut.remove(file)
                self.send_response(200)
                for key, value in (headers | {"Content-Length": str(len(data))}).items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                self.close_connection = True
                return
            self._send(206 if start else 200, data[start:], headers, with_body=with_body)

        def _send(self, status: int, body: bytes, headers: dict[str, str], *, with_body: bool = True) -> None:
            self.send_response(status)
            for key, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(key, value)
            self.end_headers()
            if with_body and self.command != "HEAD":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _about(name: str, folder: Path) -> dict[str, object]:
    siblings: list[dict[str, object]] = []
    for file in sorted(folder.iterdir()):
        entry: dict[str, object] = {"rfilename": file.name, "size": file.stat().st_size, "blobId": _tag(file)}
        if file.suffix == ".safetensors":
            entry["lfs"] = {"sha256": _tag(file), "size": file.stat().st_size, "pointerSize": 134}
        siblings.append(entry)
    return {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}


def _tree(folder: Path) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = []
    for file in sorted(folder.iterdir()):
        size = file.stat().st_size
        entry: dict[str, object] = {"type": "file", "path": file.name, "size": size, "oid": _tag(file)}
        if file.suffix == ".safetensors":
            entry["lfs"] = {"oid": _tag(file), "size": size, "pointerSize": 134}
        entries.append(entry)
    return entries


def _tag(file: Path) -> str:
    data = file.read_bytes()
    return sha256(data).hexdigest() if file.suffix == ".safetensors" else sha1(data).hexdigest()
