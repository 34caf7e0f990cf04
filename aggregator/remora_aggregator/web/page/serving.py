"""Serves the page's files, as they are in the package: no build step, nothing from outside."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from aiohttp import web

PAGE: Final = "index.html"
FOLDER: Final = "/page/"

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing but these files, and no way to make markup or code out of text."""

_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file.

    Attributes:
        etag: Tells its content from any other, so that a browser keeps what has not changed.
    """

    body: bytes
    content_type: str
    etag: str


@cache
def page_files() -> Mapping[str, PageFile]:
    """Read all files, by their names."""
    return dict(_read())


def _read() -> Iterator[tuple[str, PageFile]]:
    for entry in files(__package__).joinpath("assets").iterdir():
        content_type = _TYPES.get(f".{entry.name.rpartition('.')[2]}")
        if content_type is not None:
            body = entry.read_bytes()
            yield entry.name, PageFile(body, content_type, sha256(body).hexdigest()[:32])


def add_page(app: web.Application) -> None:
    """Serve the page at ``/``, and what it loads below ``/page/``."""
    for name, file in page_files().items():
        app.router.add_get("/" if name == PAGE else f"{FOLDER}{name}", _handler(file))


def _handler(file: PageFile) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Answer with a file, or that it is still the one that the browser has."""

    async def serve(request: web.Request) -> web.StreamResponse:
        known = {one.value for one in request.if_none_match or ()}
        if known & {file.etag, "*"}:
            answer = web.Response(status=304)
        else:
            answer = web.Response(
                body=file.body, content_type=file.content_type, charset="utf-8"
            )  # fmt: skip
        # The browser asks each time, and is told in a line that nothing has changed.
        answer.headers["Cache-Control"] = "no-cache"
        answer.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        answer.etag = file.etag
        return answer

    return serve
