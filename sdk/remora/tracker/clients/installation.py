"""Patches every client that is known, once for a process."""

from remora.tracker.clients import (
    aiohttp_connectors,
    grpc_channels,
    httpcore_pools,
    name_resolution,
    standard_library,
    urllib3_pools,
    websocket_clients,
)
from remora.tracker.locks import installing

_CLIENTS = (
    httpcore_pools,
    urllib3_pools,
    aiohttp_connectors,
    websocket_clients,
    standard_library,
    grpc_channels,
    name_resolution,
)
_installed = False


def install_clients() -> None:
    """Patch the clients that are imported, and the others when they are; once for a process.

    Any thread may call it, any number of times. It imports no client.
    """
    global _installed
    if _installed:
        return
    with installing:
        if _installed:
            return
        for client in _CLIENTS:
            client.install()
        _installed = True
