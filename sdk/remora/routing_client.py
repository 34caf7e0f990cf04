"""A router of one's own that decides about calls from the process it lives in.

    with serve_router("127.0.0.1:15080", session_id, MyRouter()):
        ...  # calls of the session ask for the model that the router names

The sidecar asks over one connection, and waits 250 ms for each answer; a call whose answer is late
goes on as it was. The router is asked on a thread of its own, about one call at a time.
"""

import asyncio
import logging
import threading
import traceback
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote, urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync.client import ClientConnection, connect

from remora.errors import Unavailable
from remora.router_messages import MAX_MODEL_CHARACTERS, answer_text, read_ask
from remora.routing import RouteContext, Router

logger = logging.getLogger(__name__)

_MAX_ASK_BYTES: Final = 32 * 1024 * 1024
_OPENS_WITHIN_S: Final = 5.0
_CLOSES_WITHIN_S: Final = 1.0

_silent = logging.getLogger(f"{__name__}.websocket")
_silent.setLevel(logging.CRITICAL)  # the library would log prompts, were it asked to log all


class ServedRouter:
    """A router that answers its session's sidecar while a ``with`` or ``async with`` block runs.

    Once the block begins, every call is asked about.
    """

    def __init__(self, url: str, router: Router) -> None:
        """Name the WebSocket by which the sidecar asks; `serve_router` knows a session's."""
        self._url = url
        self._address = urlsplit(url).netloc
        self._router = router
        self._connection: ClientConnection | None = None
        self._thread = threading.Thread(target=self._answer_all, name="remora router", daemon=True)
        self._closing = False

    @property
    def is_open(self) -> bool:
        """Whether the sidecar is answered."""
        return self._thread.is_alive()

    def open(self) -> None:
        """Begin to answer.

        Raises:
            Unavailable: The sidecar can't be reached, or does not take a router for the session.
        """
        self._connection = self._connected()
        self._thread.start()

    def close(self) -> None:
        """Answer no more; calls go on as their agents made them."""
        self._closing = True
        if self._connection is not None:
            self._connection.close()
            self.wait(_CLOSES_WITHIN_S)

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until no more is answered: the sidecar let the router go, or it was closed."""
        self._thread.join(timeout_s)

    def _connected(self) -> ClientConnection:
        try:
            return connect(
                self._url,
                proxy=None,  # the variables that lead calls through the sidecar are not for this
                compression=None,
                open_timeout=_OPENS_WITHIN_S,
                close_timeout=_CLOSES_WITHIN_S,
                ping_interval=None,  # it never leaves this machine
                max_size=_MAX_ASK_BYTES,
                logger=_silent,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            raise Unavailable(_not_taken(self._address, status)) from None
        except (OSError, InvalidHandshake, InvalidURI) as error:
            raise Unavailable(f"no sidecar answers on {self._address}") from error

    def _answer_all(self) -> None:
        connection = self._connection
        assert connection is not None  # noqa: S101 - the thread starts with one
        try:
            for text in connection:
                if (answer := _answered(text, self._router)) is not None:
                    connection.send(answer)
        except ConnectionClosed:
            pass
        if not self._closing:
            why = connection.close_reason or "the connection was lost"
            logger.warning("calls go unrouted from now on: %s", why)

    def __enter__(self) -> Self:
        """Begin to answer."""
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Answer no more."""
        self.close()

    async def __aenter__(self) -> Self:
        """Begin to answer, without holding up the loop."""
        await asyncio.to_thread(self.open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Answer no more."""
        await asyncio.to_thread(self.close)


def serve_router(control_address: str, session_id: str, router: Router) -> ServedRouter:
    """Let a router decide about a session's calls, in a ``with`` or ``async with`` block.

    Args:
        control_address: The sidecar's control listener, as ``host:port``.
        session_id: Whose calls.
        router: Asked about each call that no route of the policy takes. An exception leaves the
            call as it is; the sidecar is told its class, not its text.
    """
    path = f"/v1/sessions/{quote(session_id, safe='')}/router"
    return ServedRouter(f"ws://{control_address}{path}", router)


def _not_taken(address: str, status: int) -> str:
    if status == 404:
        return f"the sidecar on {address} does not know the session: open one, and use its id"
    return f"the sidecar on {address} takes no router for the session (HTTP {status})"


def _answered(text: str | bytes, router: Router) -> str | None:
    """Answer an ask; None to what is none, which a newer sidecar may send."""
    try:
        ask = read_ask(text)
    except ValueError:
        return None
    try:
        return answer_text(ask.number, _model(router, ask.context))
    except Exception as error:  # noqa: BLE001 - a router is its owner's code, and calls go on
        name, (place, line) = type(error).__name__, _raised_at(error)
        # Its text might hold a prompt.
        logger.warning("the router failed (%s at %s:%d): the call goes unrouted", name, place, line)
        return answer_text(ask.number, None, name)


def _model(router: Router, context: RouteContext) -> str | None:
    model: object = router.route(context)
    if model is not None and not isinstance(model, str):
        raise TypeError("a router names a model, as text, or None")
    if model is not None and len(model) > MAX_MODEL_CHARACTERS:
        raise ValueError(f"the name of a model has at most {MAX_MODEL_CHARACTERS} characters")
    return model


def _raised_at(error: Exception) -> tuple[str, int]:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return frame.filename, frame.lineno or 0
