"""Calls to hosts that nobody named as a provider's, where the sidecar's owner wants them recorded.

Only plain HTTP through the proxy, and only requests that a dialect claims by their path: a model
server on the researcher's own machine, say. Everything else there is forwarded unread, as ever.
Pure.
"""

from functools import lru_cache

from remora.providers import Provider
from remora_sidecar.dialects.registry import UNKNOWN, dialect_for
from remora_sidecar.engine.arrival import request_head
from remora_sidecar.engine.headers import without_ours
from remora_sidecar.engine.target import Target
from remora_sidecar.model.exchange import Headers
from remora_sidecar.policy.additions import provider_to_add


def unnamed_provider(target: Target, method: str, headers: Headers) -> Provider | None:
    """Make the provider of a call to a host that is none's; None if the request is no LLM call.

    It has the name of the host and port, and no credential of policy's is ever sent to it.
    """
    if method != "POST" or target.scheme != "http":
        return None
    provider = _provider(target.authority)
    head = request_head(method, target, without_ours(headers))
    if provider is None or dialect_for(provider.dialects, head) is UNKNOWN:
        return None
    return provider


@lru_cache(maxsize=256)
def _provider(authority: str) -> Provider | None:
    try:
        return provider_to_add(authority, f"http://{authority}", ())
    except ValueError:  # no host that a provider may have
        return None
