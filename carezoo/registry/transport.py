"""Bytes from where a zoo is: a web server, an object store, a folder. The one module that talks to a network.

Nothing is asked for but what the caller named. Proxies are those of the environment (HTTPS_PROXY, NO_PROXY).
"""

from __future__ import annotations

import functools
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from carezoo.errors import DownloadError, MissingExtraError
from carezoo.progress import Progress
from carezoo.version import __version__

if TYPE_CHECKING:
    import httpx

CHUNK_BYTES = 1 << 18

TIMEOUT_VARIABLE = "CAREZOO_HTTP_TIMEOUT"
"""Seconds without a byte after which a server counts as gone."""

TIMEOUT_S = 30.0

MAX_REDIRECTS = 5

OFFLINE = (
    "Are you offline, or behind a proxy (set HTTPS_PROXY)? Models that ship with carezoo and those pulled before need "
    "no network: carezoo list shows them"
)


class Interrupted(DownloadError):
    """A download that may go on where it stopped: the connection broke, or the server has trouble."""


class Missing(DownloadError):
    """The server answers, and says that there is no such file."""


@dataclass(frozen=True)
class Body:
    """A file while it arrives."""

    start: int
    """Position of the first byte within the file: what was asked for, or 0 where a server sends all of it again."""
    total: int | None
    """Bytes of the whole file, as the server claims."""
    etag: str
    chunks: Iterator[bytes]


def is_remote(url: str) -> bool:
    """Return whether a location is anywhere but in the file system."""
    return bool(re.match(r"[A-Za-z][\w+.-]+://", url)) and not url.lower().startswith("file:")


def local_path(location: str) -> Path:
    """Return the path of a location that is not remote: a path already, or file:// and a path."""
    if location.lower().startswith("file:"):
        return Path(url2pathname(unquote(urlsplit(location).path)))
    return Path(location).expanduser()


def redact(url: str) -> str:
    """Return a location without the password or token it may carry."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl() if parts.netloc else url


@contextmanager
def open_body(url: str, *, start: int = 0, etag: str = "") -> Iterator[Body | None]:
    """Open a file, from byte `start` on if the server can.

    Parameters
    ----------
    url
        http(s), any scheme fsspec has a file system for, file, or a path.
    start
        First byte wanted.
    etag
        Of the copy at hand: None is yielded where the server says it is still the same.

    Raises
    ------
    Interrupted
        If the server cannot be reached, sends nothing for too long, or breaks off.
    Missing
        If there is no such file.
    DownloadError
        If the server refuses.
    MissingExtraError
        If a library for the scheme is missing.
    """
    if url.lower().startswith(("http://", "https://")):
        with _over_http(url, start, etag) as body:
            yield body
    elif is_remote(url):
        with _by_fsspec(url, start) as body:
            yield body
    else:
        with _from_disk(local_path(url), start) as body:
            yield body


def read(
    url: str, limit: int, *, etag: str = "", name: str = "", progress: Progress | None = None
) -> tuple[bytes, str] | None:
    """Return a file and its ETag; None if it is still the one with `etag`. `name` is what `progress` calls it.

    Raises
    ------
    DownloadError
        As `open_body`; also if it has more than `limit` bytes.
    """
    with open_body(url, etag=etag) as body:
        if body is None:
            return None
        content = bytearray()
        for chunk in body.chunks:
            content += chunk
            if len(content) > limit:
                raise DownloadError(f"{redact(url)} has more than {limit} bytes; this is not the file it should be")
            if progress:
                progress(len(content), max(body.total or 0, len(content)), name)
        if body.total is not None and len(content) != body.total:
            raise Interrupted(f"{redact(url)}: {len(content)} of {body.total} bytes arrived. Try again")
        return bytes(content), body.etag


def timeout_s() -> float:
    """Return how long a silent server is waited for, in seconds."""
    try:
        return max(0.1, float(os.environ.get(TIMEOUT_VARIABLE, TIMEOUT_S)))
    except ValueError:
        raise DownloadError(
            f"{TIMEOUT_VARIABLE}={os.environ[TIMEOUT_VARIABLE]!r}: expected a number of seconds, such as 30"
        ) from None


@contextmanager
def _over_http(url: str, start: int, etag: str) -> Iterator[Body | None]:
    import httpx

    # Bytes as they lie on the server: packed ones could not be continued.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"carezoo/{__version__}"}
    headers |= {"Range": f"bytes={start}-"} if start else {}
    headers |= {"If-None-Match": etag} if etag else {}
    try:
        with _client() as client, client.stream("GET", url, headers=headers) as response:
            if response.status_code == httpx.codes.NOT_MODIFIED and etag:
                yield None
                return
            _check_status(response, url)
            yield _body(response, start)
    except httpx.TooManyRedirects as error:
        raise DownloadError(f"{redact(url)}: more than {MAX_REDIRECTS} redirects; the address is wrong") from error
    except httpx.TimeoutException as error:
        raise Interrupted(f"{redact(url)}: the server sent nothing for {timeout_s():g} s. {OFFLINE}") from error
    except httpx.ConnectError as error:
        raise Interrupted(f"{redact(url)} cannot be reached: {error}. {OFFLINE}") from error
    except httpx.TransportError as error:
        raise Interrupted(f"{redact(url)}: the connection broke: {error}") from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise DownloadError(f"{redact(url)}: {error}") from error


def _client() -> httpx.Client:
    import httpx

    return httpx.Client(
        follow_redirects=True,
        max_redirects=MAX_REDIRECTS,
        timeout=timeout_s(),
        verify=_trust(),
        event_hooks={"response": [_refuse_downgrade]},
    )


@functools.cache
def _trust() -> ssl.SSLContext:
    """Return what certificates are held against; reading them takes longer than a small download."""
    import httpx

    return httpx.create_ssl_context()


def _refuse_downgrade(response: httpx.Response) -> None:
    """Stop where https would be left for http: anybody on the way could change the index."""
    if response.url.scheme == "https" and response.next_request and response.next_request.url.scheme != "https":
        raise DownloadError(f"{redact(str(response.url))} redirects to an address without https; this is not followed")


def _check_status(response: httpx.Response, url: str) -> None:
    code = response.status_code
    if code in {200, 206}:
        return
    where = f"{redact(url)}: the server answers {code} {response.reason_phrase}"
    if code in {404, 410}:
        raise Missing(f"{where}. There is no such file; check the address")
    if code in {401, 403, 407}:
        raise DownloadError(f"{where}. It wants a password or permission; ask whoever runs it")
    if code == 416:
        raise Interrupted(f"{where}. The file has changed since the download began")
    if code == 429 or code >= 500:
        raise Interrupted(f"{where}. The fault is on its side; try again later")
    raise DownloadError(f"{where}; expected the file")


def _body(response: httpx.Response, start: int) -> Body:
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    begins = 0
    if response.status_code == 206:
        span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if span is None or int(span[1]) != start:
            raise Interrupted(
                f"{redact(str(response.url))}: the server sends another part of the file than was asked for"
            )
        begins, total = start, None if span[3] == "*" else int(span[3])
    return Body(begins, total, response.headers.get("ETag", ""), response.iter_raw())


@contextmanager
def _from_disk(path: Path, start: int) -> Iterator[Body]:
    try:
        with path.open("rb") as stream:
            total = os.fstat(stream.fileno()).st_size
            stream.seek(min(start, total))
            yield Body(min(start, total), total, "", iter(lambda: stream.read(CHUNK_BYTES), b""))
    except FileNotFoundError as error:
        raise Missing(f"{path}: no such file") from error
    except OSError as error:
        raise DownloadError(f"{path}: cannot be read: {error.strerror or error}") from error


@contextmanager
def _by_fsspec(url: str, start: int) -> Iterator[Body]:
    scheme = url.partition("://")[0]
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError.of("fsspec", "remote", f"to read {scheme}:// addresses") from None
    try:
        with fsspec.open(url, "rb") as stream:
            size: Any = getattr(stream, "size", None)
            stream.seek(start)
            yield Body(start, size, "", iter(lambda: stream.read(CHUNK_BYTES), b""))
    except ImportError as error:
        raise MissingExtraError(f"a library to read {scheme}:// is missing: {error}") from error
    except FileNotFoundError as error:
        raise Missing(f"{redact(url)}: no such file") from error
    except (OSError, ValueError) as error:
        raise Interrupted(f"{redact(url)}: cannot be read: {error}. {OFFLINE}") from error
