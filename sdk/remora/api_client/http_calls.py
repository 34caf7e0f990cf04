"""HTTP calls to the sidecar: blocking, one connection each, ended at once by their `Cut`.

A connection for each call costs a tenth of a millisecond on loopback, and leaves nothing to be
closed, forked or found dead by the next call. No proxy of the environment is used.
"""

import http.client
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from email.message import Message
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from remora.api_client.cut import Cut
from remora.api_client.failures import NotConnected, RateLimitError, error_of
from remora.api_client.server_sent_events import EventReader, ServerSentEvent
from remora.api_client.whereabouts import Whereabouts
from remora.errors import BadRequest, Unavailable
from remora.tracker.active import within

JSON: Final = "application/json"
_CHUNK_BYTES: Final = 64 * 1024
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 60.0


@dataclass(frozen=True)
class Calls:
    """Makes calls; can be used by many threads.

    Attributes:
        whereabouts: Where they go, and as whose.
        timeout_s: For how long a connection may be silent.
        max_retries: How often a call is tried that nobody took, or that came too soon.
        cut: What ends them.
    """

    whereabouts: Whereabouts
    timeout_s: float
    max_retries: int
    cut: Cut = field(default_factory=Cut, repr=False)

    def until(self, cut: Cut) -> "Calls":
        """Give the same, ended by another cut."""
        return replace(self, cut=cut)

    def get(self, path: str) -> dict[str, Any]:
        """Ask for something; raises as `post` does."""
        return self._whole("GET", path, None, {})

    def post(
        self, path: str, body: object, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Make a call, and give the JSON object of its answer.

        Raises:
            ApiError: It was refused.
            BadRequest: The body can't be written as JSON.
            Unavailable: No sidecar answers.
        """
        return self._whole("POST", path, written(body), headers or {})

    def _whole(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            with self.opened(method, path, body, headers) as answer:
                return answer.json()

        return self.retried(ask)

    def retried[T](self, call: Callable[[], T]) -> T:
        """Make a call again where that is safe: nobody took it, or it was told to come later."""
        for attempt in range(1, self.max_retries + 1):
            try:
                return call()
            except NotConnected:
                if attempt == self.max_retries:
                    raise
                self.cut.pause(_FIRST_PAUSE_S * 2 ** (attempt - 1))
            except RateLimitError as error:
                if attempt == self.max_retries or not error.may_retry:
                    raise
                usual_s = 2.0 ** (attempt - 1)
                wanted_s = usual_s if error.retry_after is None else error.retry_after
                if wanted_s > _LONGEST_PAUSE_S:
                    raise
                self.cut.pause(wanted_s)
        raise AssertionError("a call is tried at least once")

    def opened(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> "OpenAnswer":
        """Send a call once; gives its answer when that has begun, if it is a success.

        Raises:
            ApiError: It was refused.
            NotConnected: Nobody took the connection.
            Unavailable: The connection broke.
        """
        self.cut.check()
        place = self.whereabouts.find()
        sent = {"Accept": JSON, **self.whereabouts.headers(place), **headers}
        if body is not None:
            sent["Content-Type"] = JSON
        connection = _connection(place.url, self.timeout_s)
        with self.cut.explaining(), within(None):  # the sidecar is no provider to be tracked
            try:
                connection.connect()
            except OSError as error:
                self.whereabouts.forget()
                raise NotConnected(_nobody(place.url, error)) from error
            except BaseException:
                connection.close()
                raise
            answer = OpenAnswer(connection, place.url, self.cut)
            try:
                answer.begin(method, urlsplit(place.url).path + path, body, sent)
            except BaseException:
                answer.close()
                raise
        return answer


class OpenAnswer:
    """An answer whose body may still be coming; its context closes it.

    Attributes:
        status: HTTP's.
        headers: Looked up without regard to case.
    """

    def __init__(self, connection: http.client.HTTPConnection, url: str, cut: Cut) -> None:
        """Take a connection that stands."""
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self._connection = connection
        self._socket: socket.socket = connection.sock
        self._response: http.client.HTTPResponse | None = None
        self._url = url
        self._cut = cut
        cut.add(self._socket)

    def begin(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> None:
        """Send the request and read the head of its answer.

        Raises:
            ApiError: It is a refusal.
            Unavailable: The connection broke.
        """
        try:
            self._connection.request(method, path, body, dict(headers))
            self._response = self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(_nobody(self._url, error)) from error
        self.status = self._response.status
        self.headers = _without_case(self._response.headers)
        if self.status != 200:
            raise error_of(self.status, self.headers, self.content())

    def json(self) -> dict[str, Any]:
        """Read the JSON object that the answer is; raises Unavailable if it is none."""
        try:
            return dict(json.loads(self.content()))
        except (TypeError, ValueError, RecursionError):
            raise Unavailable(f"what answers at {self._url} is no sidecar") from None

    def content(self) -> bytes:
        """Read the whole body."""
        return b"".join(self.chunks())

    def chunks(self, wait_s: Callable[[], float | None] = lambda: None) -> Iterator[bytes]:
        """Give the body as it comes.

        Args:
            wait_s: Says before each part for how long to wait for it; None: as ever.

        Raises:
            Unavailable: The connection broke, or was silent for too long.
        """
        assert self._response is not None  # noqa: S101 - it has begun
        while True:
            span_s = wait_s()
            with self._cut.explaining():
                try:
                    if span_s is not None:
                        self._socket.settimeout(span_s)
                    chunk = self._response.read1(_CHUNK_BYTES)
                except (OSError, ValueError, http.client.HTTPException) as error:
                    raise Unavailable(_nobody(self._url, error)) from error
            self._cut.check()
            if not chunk:
                return
            yield chunk

    def events(
        self, wait_s: Callable[[], float | None] = lambda: None
    ) -> Iterator[ServerSentEvent]:
        """Give the events of a stream as they come; raises as `chunks` does."""
        reader = EventReader()
        for chunk in self.chunks(wait_s):
            yield from reader.feed(chunk)

    def close(self) -> None:
        """Let go of the connection."""
        self._cut.remove(self._socket)
        try:
            if self._response is not None:
                self._response.close()
        finally:
            self._connection.close()
            self._socket.close()  # an answer that was to end with it has taken it over

    def __enter__(self) -> Self:
        """Return the answer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the connection."""
        self.close()


def written(body: object) -> bytes:
    """Write a body as JSON; money as decimal text.

    Raises:
        BadRequest: It holds what JSON can't.
    """
    try:
        return json.dumps(body, default=_plain, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRequest(f"the request can't be written as JSON: {error}") from None


def _plain(value: object) -> Any:
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError(f"a {type(value).__name__} is no value of JSON")


def _connection(url: str, timeout_s: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    assert parts.hostname is not None  # noqa: S101 - looked at when it was found
    is_tls = parts.scheme == "https"
    kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
    return kind(parts.hostname, parts.port or (443 if is_tls else 80), timeout=timeout_s)


def _without_case(headers: Message) -> Mapping[str, str]:
    return _Fields({name.lower(): str(value) for name, value in headers.items()})


class _Fields(dict[str, str]):
    """Fields by their names in any case."""

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


def _nobody(url: str, error: Exception) -> str:
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"the sidecar at {url} is not reachable: {why}"
