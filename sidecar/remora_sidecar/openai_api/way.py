"""How requests reach a provider: through the sidecar's own proxy, as any agent's call does.

So attribution, policy, budgets, the cache, keys, records and receipts hold for them as well.
"""

import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from remora.providers import AuthScheme, Provider
from remora_sidecar.model.secret_text import SecretText
from remora_sidecar.openai_api.surface import Surface
from remora_sidecar.policy.key_carriers import KEY_HEADERS, scheme_for
from remora_sidecar.policy.routes import host_of

_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound to
"""Where a listener on all addresses is reached."""

_USUAL_PORT: Final = {"https": 443, "http": 80}
_KEPT_BACK: Final = frozenset(
    {
        "accept-encoding", "connection", "content-encoding", "content-length", "cookie", "expect",
        "host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Of the client's connection with us, or of its program's other affairs."""

_KEY_FIELDS: Final[Mapping[AuthScheme, tuple[str, str]]] = {
    AuthScheme.BEARER: ("Authorization", "Bearer "),
    AuthScheme.X_API_KEY: ("x-api-key", ""),
    AuthScheme.X_GOOG_API_KEY: ("x-goog-api-key", ""),
}
"""Where a key stands, and what stands before it."""

_NOT_ADDED: Final = ("User-Agent", "Accept", "Content-Type")


class OwnWay:
    """Sends requests; used on one event loop."""

    def __init__(self, proxy: tuple[str, int], root_pem: Callable[[], bytes]) -> None:
        """Take where the proxy is; nothing is dialled before something is sent.

        Args:
            proxy: The explicit listener, as host and port.
            root_pem: Gives what it signs leaves with, by now.
        """
        self._proxy = (_LOOPBACK.get(proxy[0], proxy[0]), proxy[1])
        self._root_pem = root_pem
        self._client: aiohttp.ClientSession | None = None
        self._tls: tuple[bytes, ssl.SSLContext] | None = None

    async def post(
        self,
        provider: Provider,
        surface: Surface,
        body: bytes,
        headers: Mapping[str, str],
        session_id: str,
    ) -> aiohttp.ClientResponse:
        """Send a request, and give the answer once its head is there.

        Args:
            provider: To whom.
            surface: Which call.
            body: As it is to be sent.
            headers: All of its fields.
            session_id: Whose call it is; empty: the default session's.

        Raises:
            aiohttp.ClientError: The proxy gave no answer.
            OSError: It could not be reached.
        """
        host, port = self._proxy
        proxy = URL.build(scheme="http", user=session_id or None, host=host, port=port)
        return await self._http().post(
            call_url(provider, surface), data=body, headers=headers, proxy=proxy,
            ssl=self._context(), allow_redirects=False, skip_auto_headers=_NOT_ADDED,
        )  # fmt: skip

    async def aclose(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await self._client.close()

    def _http(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None),  # the engine keeps time
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                read_bufsize=256 * 1024,
            )
        return self._client

    def _context(self) -> ssl.SSLContext:
        """Trust the sidecar's own CA and no other."""
        pem = self._root_pem()
        if self._tls is None or self._tls[0] != pem:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=pem.decode())
            self._tls = pem, context
        return self._tls[1]


def can_be_sent(value: str) -> bool:
    """Tell whether a field's value is UTF-8: others would have to be changed to be written."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def call_url(provider: Provider, surface: Surface) -> URL:
    """Say where a provider takes a call."""
    scheme = "https" if provider.tls else "http"
    port = provider.ports[0]
    at = "" if port == _USUAL_PORT[scheme] else f":{port}"
    base = provider.base_paths[surface.dialect]
    return URL(f"{scheme}://{host_of(provider)}{at}{base}{surface.path}", encoded=True)


def sent_headers(
    given: Sequence[tuple[str, str]],
    provider: Provider,
    surface: Surface,
    key: SecretText | None,
    added: Mapping[str, str],
) -> CIMultiDict[str]:
    """Make the fields of a request.

    Args:
        given: The client's.
        provider: To whom it goes.
        surface: Which call.
        key: That it may carry; None: none.
        added: In place of the client's of the same name.
    """
    sent = CIMultiDict(
        (name, value)
        for name, value in given
        if name.lower() not in _KEPT_BACK
        and name.lower().encode() not in KEY_HEADERS
        and can_be_sent(value)
    )
    sent["Accept-Encoding"] = "identity"
    for name, value in added.items():
        sent[name] = value
    field = _KEY_FIELDS.get(scheme_for(provider, surface.dialect))
    if key is not None and field is not None:
        sent[field[0]] = field[1] + key.reveal()
    return sent
