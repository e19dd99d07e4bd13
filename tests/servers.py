"""A web server on loopback that serves a folder, and misbehaves as it is told."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

Fault = Callable[[BaseHTTPRequestHandler, bytes, int], None]
"""Sends the answer in place of the server; gets the request, the file, and the first byte that was asked for."""


@dataclass
class Served:
    """A folder on the web, with what was asked for and how it is answered."""

    folder: Path
    url: str = ""
    requests: list[tuple[str, int]] = field(default_factory=list)
    """Path and first byte of every request."""
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """For each path, what happens at the first, second... request; the last one goes on for ever."""
    ranges: bool = True
    """Whether the server knows how to continue a file."""

    def fault(self, path: str, *faults: Fault) -> None:
        self.faults[path] = list(faults)

    def asked(self, path: str) -> list[int]:
        """Return the first bytes of the requests for a path."""
        return [start for asked, start in self.requests if asked == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Served

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        file = self.served.folder / path
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.served.requests.append((path, start))
        content = file.read_bytes() if file.is_file() else None
        waiting = self.served.faults.get(path)
        if waiting:
            fault = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            fault(self, content or b"", start)
        elif content is None:
            status(404)(self, b"", 0)
        else:
            answer(self, content, start if self.served.ranges else 0)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        return


def answer(
    request: BaseHTTPRequestHandler, content: bytes, start: int, *, claimed: int | None = None, sent: int | None = None
) -> None:
    """Send a file as a good server does, or claim another length of the rest, or send less of it than is claimed."""
    etag = f'"{zlib.crc32(content):x}"'
    if request.headers.get("If-None-Match") == etag:
        request.send_response(304)
        request.end_headers()
        return
    rest = content[start:]
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    request.send_header("Content-Length", str(len(rest) if claimed is None else claimed))
    request.send_header("ETag", etag)
    request.end_headers()
    if request.command == "GET":
        request.wfile.write(rest[:sent])
        if claimed is not None or sent is not None:
            close(request)


def close(request: BaseHTTPRequestHandler) -> None:
    request.wfile.flush()
    request.close_connection = True
    request.connection.shutdown(2)


def good(request: BaseHTTPRequestHandler, content: bytes, start: int) -> None:
    answer(request, content, start)


def status(code: int) -> Fault:
    def send(request: BaseHTTPRequestHandler, content: bytes, start: int) -> None:
        del content, start
        request.send_response(code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return send


def redirect(url: str) -> Fault:
    def send(request: BaseHTTPRequestHandler, content: bytes, start: int) -> None:
        del content, start
        request.send_response(302)
        request.send_header("Location", url)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return send


def breaks_after(n_bytes: int) -> Fault:
    """Claim the whole file and close the connection after some bytes of it."""

    def send(request: BaseHTTPRequestHandler, content: bytes, start: int) -> None:
        answer(request, content, start, sent=n_bytes)

    return send


def claims(n_bytes: int) -> Fault:
    """Lie about the length."""

    def send(request: BaseHTTPRequestHandler, content: bytes, start: int) -> None:
        answer(request, content, start, claimed=n_bytes)

    return send


def without_length(change: Callable[[bytes], bytes]) -> Fault:
    """Send something else, and say nothing of its length: the body ends where the connection does."""

    def send(request: BaseHTTPRequestHandler, content: bytes, start: int) -> None:
        request.send_response(200)
        request.send_header("Connection", "close")
        request.end_headers()
        with suppress(OSError):  # a client that has seen enough hangs up
            request.wfile.write(change(content))
        close(request)

    return send


def instead(change: Callable[[bytes], bytes]) -> Fault:
    """Send other content, in perfect form."""

    def send(request: BaseHTTPRequestHandler, content: bytes, start: int) -> None:
        answer(request, change(content), start)

    return send


def silent(seconds: float) -> Fault:
    def send(request: BaseHTTPRequestHandler, content: bytes, start: int) -> None:
        time.sleep(seconds)
        close(request)

    return send


def trickles(pause_s: float, n_bytes: int) -> Fault:
    """Send a little at a time."""

    def send(request: BaseHTTPRequestHandler, content: bytes, start: int) -> None:
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        for begin in range(start, len(content), n_bytes):
            try:
                request.wfile.write(content[begin : begin + n_bytes])
                request.wfile.flush()
            except OSError:
                return
            time.sleep(pause_s)

    return send


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed or have seen enough hang up; that is what is tested."""


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Serve a folder on loopback."""
    served = Served(folder)
    handler = type("ServedHandler", (Handler,), {"served": served})
    server = _Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
