"""Our errors as gRPC's status, translated once, at the edge of a call."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from remora.errors import BadRequest, ConfigError, Unavailable

logger = logging.getLogger(__name__)

_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

_FAILED = "the operator failed; its log says why"


@asynccontextmanager
async def errors_as_status(
    context: grpc.aio.ServicerContext[Any, Any], what_failed: str
) -> AsyncIterator[None]:
    """End the call with the status of an error; a bug of ours is logged and tells nobody anything.

    Args:
        context: Of the call.
        what_failed: What to log of a bug.
    """
    try:
        yield
    except BadRequest as error:
        status = _STATUS.get(error.status, grpc.StatusCode.INVALID_ARGUMENT)
        await context.abort(status, str(error))
    except Unavailable as error:
        await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
    except ConfigError as error:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
    except Exception:
        logger.exception("%s", what_failed)
        await context.abort(grpc.StatusCode.INTERNAL, _FAILED)
