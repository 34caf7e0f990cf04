"""The events of a run as server-sent events (WHATWG HTML §9.2)."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from remora_sidecar.workflow_runs.feed import Feed

BEAT_S: Final = 15.0
"""So often something is sent, so that no one between takes the connection for dead."""

_HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}


async def send_events(request: web.Request, feed: Feed, after: int = 0) -> web.StreamResponse:
    """Send a run's events after a number, and those that come, until it is over.

    Raises:
        ConnectionError: The client has gone.
    """
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request)
    async with contextlib.aclosing(feed.follow(after, BEAT_S)) as events:
        async for told in events:
            if told is None:
                await response.write(b": beat\n\n")
            else:
                await response.write(_event(feed.id_of(told), told.value))
    await response.write_eof()
    return response


def _event(event_id: str, value: Mapping[str, Any]) -> bytes:
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text = f"id: {event_id}\nevent: {value['type']}\ndata: {data}\n\n"
    return text.encode("utf-8", "surrogatepass")
