"""What requests ask for, read once for each that is asked again. Pure."""

from functools import lru_cache

from remora_sidecar.dialects.base import CallRequest, Dialect
from remora_sidecar.model.exchange import RequestHead

_SMALL_BYTES = 8 * 1024
_KEPT = 128
"""So many small requests are known; large ones are read each time."""


def read_request(dialect: Dialect, head: RequestHead, body: bytes) -> CallRequest:
    """Read what a request asks for.

    Args:
        dialect: The call's.
        head: Without fields that differ from call to call; its own are in a tuple.
        body: Decoded.
    """
    if len(body) > _SMALL_BYTES:
        return dialect.read_request(head, body)
    return _read_small(dialect, head, body)  # type: ignore[arg-type]  # there is one of each dialect


@lru_cache(maxsize=_KEPT)
def _read_small(dialect: Dialect, head: RequestHead, body: bytes) -> CallRequest:
    return dialect.read_request(head, body)
