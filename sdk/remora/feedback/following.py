"""Notes which call gave the latest answer of each context, for SDKs whose objects do not say.

`follow_calls` puts itself around what sends requests in httpx, requests and aiohttp, which most
SDKs use. It changes nothing of them, and is not called by any import.
"""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from functools import partial
from types import ModuleType
from typing import Any, Final, NamedTuple

from remora.feedback.call_ids import CALL_ID_FIELD, REQUEST_ID_FIELDS, field_of, normal_call_id
from remora.tracker.clients.patching import when_imported, wrap
from remora.tracker.locks import installing

MOST_REQUESTS: Final = 4096
"""Request ids that are remembered; the oldest go first."""

_numbers = itertools.count(1)


class FollowedCall(NamedTuple):
    """A call whose answer came in some context.

    Attributes:
        number: Grows with each call of this process.
    """

    call_id: str
    number: int


_latest: ContextVar[FollowedCall | None] = ContextVar("remora_followed_call", default=None)
_by_request: OrderedDict[str, str] = OrderedDict()
_remembering = threading.Lock()
_is_installed = False


def next_number() -> int:
    """Number what happened, so that the latest can be told."""
    return next(_numbers)


def followed_call() -> FollowedCall | None:
    """Give the latest call of this context that was answered through a sidecar, if it is known."""
    return _latest.get()


def call_of_request(request_id: str) -> str:
    """Give the call whose answer the provider named so; empty if none is known."""
    return _by_request.get(request_id, "")


def follow_calls() -> None:
    """Note the calls of this process from now on; once is enough, and again does no harm.

    An answer counts for the context (thread, asyncio task) that got it.
    """
    global _is_installed
    with installing:
        if _is_installed:
            return
        _is_installed = True
        for name in ("httpx", "httpx2"):
            when_imported(name, _follow_httpx)
        when_imported("requests", _follow_requests)
        when_imported("aiohttp", _follow_aiohttp)


def note(fields: object) -> None:
    """Note a call by the header fields of its answer; nothing where they name none."""
    call_id = normal_call_id(field_of(fields, CALL_ID_FIELD))
    if not call_id:
        return
    _latest.set(FollowedCall(call_id, next_number()))
    names = (field_of(fields, name) for name in REQUEST_ID_FIELDS)
    if request_id := next(filter(None, names), ""):
        with _remembering:
            _by_request[request_id] = call_id
            _by_request.move_to_end(request_id)
            if len(_by_request) > MOST_REQUESTS:
                _by_request.popitem(last=False)


def _follow_httpx(httpx: ModuleType) -> None:
    wrap(httpx, "Client.send", _noting)
    wrap(httpx, "AsyncClient.send", _noting_async)


def _follow_requests(requests: ModuleType) -> None:
    wrap(requests, "Session.send", _noting)


def _follow_aiohttp(aiohttp: ModuleType) -> None:
    wrap(aiohttp, "ClientSession._request", _noting_async)


def _noting(
    wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    answer = wrapped(*args, **kwargs)
    note(answer.headers)
    return answer


def _noting_async(
    wrapped: Callable[..., Coroutine[Any, Any, Any]],
    client: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Coroutine[Any, Any, Any]:
    return _noted(partial(wrapped, *args, **kwargs))


async def _noted(send: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    answer = await send()
    note(answer.headers)
    return answer
