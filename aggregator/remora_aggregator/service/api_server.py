"""The one question that is put to a Kubernetes API server: TokenReview, over plain HTTP.

https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from remora.cluster_tls import cluster_context
from remora.errors import ConfigError, Problem, Unavailable

_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
_TIMEOUT_S = 5.0
_MAX_ANSWER_BYTES = 256 * 1024


class ApiServer:
    """An API server that is asked as one ServiceAccount; made by `connected`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token_file: Path | None) -> None:
        """Take where it is; nothing is dialled yet."""
        self._session = session
        self._url = url.rstrip("/") + _PATH
        self._token_file = token_file

    async def review(self, token: str, audiences: Sequence[str]) -> object:
        """Have a token reviewed; returns the answer's JSON.

        Raises:
            Unavailable: The server can't be reached, or does not answer.
        """
        body: dict[str, Any] = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": list(audiences)},
        }
        try:
            headers = await asyncio.to_thread(self._headers)
            async with self._session.post(self._url, json=body, headers=headers) as answer:
                if answer.status not in (200, 201):
                    raise Unavailable(_refusal(answer.status))
                return await _json(answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise Unavailable(f"the Kubernetes API server can't be asked: {why}") from error

    def _headers(self) -> dict[str, str]:
        """Read the aggregator's own token each time: the kubelet renews it."""
        if self._token_file is None:
            return {}
        try:
            token = self._token_file.read_text("ascii").strip()
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "it is no token"
            raise Unavailable(f"{self._token_file} can't be read: {why}") from None
        return {"Authorization": f"Bearer {token}"}


async def _json(answer: aiohttp.ClientResponse) -> object:
    text = await answer.content.read(_MAX_ANSWER_BYTES)
    while not answer.content.at_eof() and len(text) < _MAX_ANSWER_BYTES:
        text += await answer.content.read(_MAX_ANSWER_BYTES - len(text))
    try:
        return json.loads(text)
    except ValueError:
        raise Unavailable("the Kubernetes API server's answer is no JSON") from None


def _refusal(status: int) -> str:
    hint = (
        ": the aggregator's ServiceAccount needs the ClusterRole system:auth-delegator"
        if status in (401, 403)
        else ""
    )
    return f"the Kubernetes API server answered a TokenReview with {status}{hint}"


@asynccontextmanager
async def connected(
    url: str, *, token_file: Path | None, ca_file: Path | None, timeout_s: float = _TIMEOUT_S
) -> AsyncIterator[ApiServer]:
    """Keep connections to an API server.

    Args:
        url: Such as ``https://kubernetes.default.svc``.
        token_file: The aggregator's own token; None: it shows none.
        ca_file: PEM of the root that signed the server's certificate; None: the public roots.
        timeout_s: For a whole answer.

    Raises:
        ConfigError: The file of roots can't be used.
    """
    connector = aiohttp.TCPConnector(ssl=await asyncio.to_thread(_tls, ca_file), limit=64)
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield ApiServer(session, url, token_file)


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return cluster_context(ca_file)
    except OSError as error:
        why = getattr(error, "reason", None) or error.strerror
        what = f"{ca_file} can't be used: {why}"
        raise ConfigError([Problem("REMORA_AGGREGATOR_KUBERNETES_CA", what)]) from None
