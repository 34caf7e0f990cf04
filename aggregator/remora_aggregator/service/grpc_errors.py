"""Our errors as gRPC's status, once, at the edge."""

import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from remora.errors import BadRequest, Unavailable
from remora_aggregator.service.rates import RateLimited

logger = logging.getLogger(__name__)

type Context = grpc.aio.ServicerContext[Any, Any]

_STATUS = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


@asynccontextmanager
async def errors_as_status(context: Context) -> AsyncIterator[None]:
    """End the call with the status that an error means."""
    try:
        yield
    except RateLimited as error:
        await context.abort(
            grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), trailing_metadata=_when_again(error)
        )
    except BadRequest as error:
        await context.abort(_STATUS.get(error.status, grpc.StatusCode.INVALID_ARGUMENT), str(error))
    except Unavailable as error:
        await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))


@asynccontextmanager
async def bugs_as_status(context: Context) -> AsyncIterator[None]:
    """End the call where something of ours failed, and tell nobody what but the log."""
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except Exception:
        logger.exception("a call failed")
        text = "the aggregator failed; its log says why"
        await context.abort(grpc.StatusCode.INTERNAL, text)


def _when_again(error: RateLimited) -> tuple[tuple[str, str | bytes], ...]:
    """Say when to come again: as google.rpc.RetryInfo, and as gRPC's own clients read it.

    https://google.aip.dev/193, https://github.com/grpc/proposal/blob/master/A6-client-retries.md
    """
    wait_ms = math.ceil(error.retry_after_s * 1_000)
    status = Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message=str(error))
    delay = Duration()
    delay.FromMilliseconds(wait_ms)
    status.details.add().Pack(RetryInfo(retry_delay=delay))
    return (
        ("grpc-status-details-bin", status.SerializeToString()),
        ("grpc-retry-pushback-ms", str(wait_ms)),
    )
