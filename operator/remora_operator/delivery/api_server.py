"""The Kubernetes API server over plain HTTP: the few calls that need no controller framework.

Paths, kinds and status codes are those of https://kubernetes.io/docs/reference/using-api/.
"""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from remora.errors import Unavailable

type Json = Mapping[str, Any]

_TIMEOUT_S = 5.0


class ApiServer:
    """One API server, spoken to as one ServiceAccount; use it as a context manager."""

    def __init__(
        self,
        url: str,
        *,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        """Take where it is; nothing is dialled yet.

        Args:
            url: Such as ``https://10.96.0.1:443``.
            token_file: The account's token; read for every request, since the kubelet renews it.
            ca_file: PEM of the root that signed the server's certificate; None: public roots.
            timeout_s: For a whole answer.
        """
        self._url = url.rstrip("/")
        self._token_file = token_file
        self._ca_file = ca_file
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
        """Read an object; None if there is none.

        Raises:
            Unavailable: The server can't be reached, or does not give it.
        """
        return await self._call("GET", path, None)

    async def create(self, path: str, body: Json) -> Json:
        """Post an object to its collection; returns what the server made of it.

        Raises:
            Unavailable: The server can't be reached, or refuses.
        """
        made = await self._call("POST", path, body)
        if made is None:
            raise Unavailable(f"the API server does not know {path}")
        return made

    async def _call(self, method: str, path: str, body: Json | None) -> Json | None:
        if self._session is None:
            raise Unavailable("the API server is not spoken to any more")
        try:
            async with self._session.request(
                method,
                self._url + path,
                json=body,
                headers=await self._headers(),
                allow_redirects=False,
            ) as answer:
                if answer.status == 404:
                    return None
                if answer.status >= 300:
                    raise Unavailable(_refusal(method, path, answer.status))
                return _mapping(await answer.json(content_type=None), path)
        except (aiohttp.ClientError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise Unavailable(f"the API server can't be asked: {why}") from error
        except ValueError:
            raise Unavailable(f"the API server's answer to {path} is no JSON") from None

    async def _headers(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            token = await asyncio.to_thread(self._token_file.read_text, "utf-8")
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise Unavailable(f"{self._token_file} can't be read: {why}") from None
        return {"Authorization": f"Bearer {token.strip()}"}

    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except OSError as error:
            raise Unavailable(f"{self._ca_file} can't be used: {error.strerror}") from error


def _mapping(answer: object, path: str) -> Json:
    if not isinstance(answer, dict):
        raise Unavailable(f"the API server's answer to {path} is no object")
    return answer


def _refusal(method: str, path: str, status: int) -> str:
    hint = ": check the operator's ClusterRole" if status == 403 else ""
    return f"the API server answered {method} {path} with {status}{hint}"
