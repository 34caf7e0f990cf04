"""The Kubernetes API server over plain HTTP: all that the operator reads, watches and writes.

Paths, kinds, patches and status codes are those of
https://kubernetes.io/docs/reference/using-api/api-concepts/. What keeps a watch up stands in
`remora_operator.cluster.reflector`.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import orjson

from remora.cluster_tls import cluster_context
from remora.errors import Unavailable
from remora_operator.cluster.objects import Json as Json

_TIMEOUT_S = 5.0
_JSON = "application/json"
_MERGE = "application/merge-patch+json"
_MAX_REFUSAL_BYTES = 64 * 1024


class Refused(Unavailable):
    """The API server was reached, and said no."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the HTTP status."""
        super().__init__(message)
        self.status = status


class ApiServer:
    """One API server, spoken to as one ServiceAccount; use it as a context manager."""

    def __init__(
        self,
        url: str,
        *,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        token: Callable[[], str] | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """Take where it is; nothing is dialled yet.

        Args:
            url: Such as ``https://10.96.0.1:443``.
            token_file: The account's token; read for every request, since the kubelet renews it.
            ca_file: PEM of the root that signed the server's certificate; None: public roots.
            token: Gives the account's token in place of a file's; may block.
            tls: Makes the context in place of one with ``ca_file``; may block.
            timeout_s: For a whole answer.
        """
        self._url = url.rstrip("/")
        self._token = token or (None if token_file is None else partial(_content, token_file))
        self._tls = tls or partial(_context, ca_file)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(self._tls)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context), timeout=self._timeout
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str) -> Json | None:
        """Read an object, or a list by a collection's path; None if there is none.

        Raises:
            Refused: The server does not give it.
            Unavailable: The server can't be reached.
        """
        return await self._found("GET", path)

    async def create(self, path: str, body: Json) -> Json:
        """Post an object to its collection; returns what the server made of it.

        Raises:
            Refused: The server refuses; 409 where there is one of that name.
            Unavailable: The server can't be reached.
        """
        return await self._call("POST", path, body)

    async def replace(self, path: str, body: Json) -> Json:
        """Put an object in another's place; returns what the server made of it.

        Args:
            path: Of the object.
            body: With the ``resourceVersion`` that was read, so that nobody's change is lost.

        Raises:
            Refused: The server refuses; 409 where somebody was quicker.
            Unavailable: The server can't be reached.
        """
        return await self._call("PUT", path, body)

    async def patch(self, path: str, body: Json) -> Json | None:
        """Merge into an object (RFC 7396); returns what it is now, None if there is none.

        Raises:
            Refused: The server refuses; 409 where the patch names another ``resourceVersion``.
            Unavailable: The server can't be reached.
        """
        return await self._found("PATCH", path, body)

    async def delete(self, path: str) -> bool:
        """Delete an object; tells whether there was one.

        Raises:
            Refused: The server refuses.
            Unavailable: The server can't be reached.
        """
        return await self._found("DELETE", path) is not None

    async def listed(
        self, path: str, query: Mapping[str, str], *, accept: str = _JSON, timeout_s: float
    ) -> Json:
        """Read a page of a collection.

        Args:
            path: Of the collection.
            query: Selectors, ``limit`` and ``continue``.
            accept: The form in which objects are wanted.
            timeout_s: For the whole page.

        Raises:
            Refused: The server does not give it; 410 where ``continue`` is too old.
            Unavailable: The server can't be reached, or what it gives is no list.
        """
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with self._answer("GET", path, query=query, accept=accept, timeout=timeout) as answer:
            body = await answer.read()
        try:
            return _mapping(orjson.loads(body), path)
        except ValueError:
            raise Unavailable(f"the API server's answer to {path} is no JSON") from None

    @asynccontextmanager
    async def streamed(
        self, path: str, query: Mapping[str, str], *, accept: str = _JSON, idle_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open an answer that has no end of its own, such as a watch; gives it piece by piece.

        Args:
            path: Of the collection.
            query: ``watch``, and what else it takes.
            accept: The form in which objects are wanted.
            idle_s: How long the server may take to begin, and then to send anything more.

        Raises:
            Refused: The server does not give it.
            Unavailable: The server can't be reached any more.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=idle_s, sock_read=idle_s)
        async with self._answer("GET", path, query=query, accept=accept, timeout=timeout) as answer:
            yield answer.content.iter_any()

    async def _found(self, method: str, path: str, body: Json | None = None) -> Json | None:
        try:
            return await self._call(method, path, body)
        except Refused as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _call(self, method: str, path: str, body: Json | None) -> Json:
        async with self._answer(method, path, body=body, timeout=self._timeout) as answer:
            try:
                return _mapping(await answer.json(content_type=None), path)
            except ValueError:
                raise Unavailable(f"the API server's answer to {path} is no JSON") from None

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        *,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the session keeps it
        body: Json | None = None,
        query: Mapping[str, str] | None = None,
        accept: str = _JSON,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise Unavailable("the API server is not spoken to any more")
        headers = {**await self._headers(), "Accept": accept}
        if method == "PATCH":
            headers["Content-Type"] = _MERGE
        try:
            async with self._session.request(
                method,
                self._url + path,
                params=query,
                json=body,
                headers=headers,
                allow_redirects=False,
                timeout=timeout,
            ) as answer:
                if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
                    said = await answer.content.read(_MAX_REFUSAL_BYTES)
                    raise Refused(answer.status, _refusal(method, path, answer.status, said))
                yield answer
        except (aiohttp.ClientError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise Unavailable(f"the API server can't be asked: {why}") from error

    async def _headers(self) -> dict[str, str]:
        if self._token is None:
            return {}
        return {"Authorization": f"Bearer {await asyncio.to_thread(self._token)}"}


def _content(token_file: Path) -> str:
    try:
        return token_file.read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise Unavailable(f"{token_file} can't be read: {why}") from None


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return cluster_context(ca_file)
    except OSError as error:
        raise Unavailable(f"{ca_file} can't be used: {error.strerror}") from error


def _mapping(answer: object, path: str) -> Json:
    if not isinstance(answer, dict):
        raise Unavailable(f"the API server's answer to {path} is no object")
    return answer


def _refusal(method: str, path: str, status: int, said: bytes) -> str:
    hint = ": check the operator's ClusterRole" if status == HTTPStatus.FORBIDDEN else ""
    return f"the API server answered {method} {path} with {status}{_message(said)}{hint}"


def _message(said: bytes) -> str:
    """Return what a ``Status`` object says; nothing if it is none."""
    try:
        message = json.loads(said)["message"]
    except (ValueError, TypeError, KeyError):
        return ""
    return f" ({message})" if isinstance(message, str) and message else ""
