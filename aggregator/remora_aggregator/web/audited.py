"""What somebody changed over HTTP is written down in the same audit log as what came by gRPC."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from remora.errors import BadRequest
from remora_aggregator.service.audit import entry_of
from remora_aggregator.web.callers import VISIT, caller_of
from remora_aggregator.web.front import front_of


@asynccontextmanager
async def audited(request: web.Request, what: str, asked: Mapping[str, Any]) -> AsyncIterator[None]:
    """Write down how something ended, refusals included.

    Args:
        request: Asks for it.
        what: Service and method, such as ``TaskService/Cancel``.
        asked: What was asked for.
    """
    front, outcome = front_of(request), "UNKNOWN"
    try:
        yield
        outcome = "OK"
    except BadRequest as error:
        outcome = error.code.upper()
        raise
    finally:
        entry = entry_of(
            caller_of(request), request[VISIT].shown.peer, what, dict(asked), outcome,
            front.clock.now_unix_ns(), 1 if outcome == "OK" else 0,
        )  # fmt: skip
        await front.audit.keep(entry)
