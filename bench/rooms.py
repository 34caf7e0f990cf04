"""Which room of the house a sampled stack belongs to. Pure; used by the profile.

A sample counts for the innermost frame that stands in a room: JSON parsed by a dialect is the
dialect's, a socket written by asyncio for aiohttp is the event loop's.
"""

from collections.abc import Iterable

ROOMS: tuple[tuple[str, str], ...] = (
    ("remora_sidecar.engine.pricing", "pricing"),
    ("remora_sidecar.engine.price_rates", "pricing"),
    ("genai_prices", "pricing"),
    ("remora_sidecar.interceptor", "interceptor"),
    ("remora_sidecar.engine", "engine"),
    ("remora_sidecar.dialects", "dialects"),
    ("remora_sidecar.policy", "policy"),
    ("remora_sidecar.cache", "cache"),
    ("remora_sidecar.spool", "spool and reports"),
    ("remora.record_wire", "spool and reports"),
    ("remora_proto", "spool and reports"),
    ("google.protobuf", "spool and reports"),
    ("grpc", "spool and reports"),
    ("remora_sidecar", "rest of the sidecar"),
    ("remora", "rest of the sidecar"),
    ("mitmproxy_rs", "mitmproxy"),
    ("mitmproxy", "mitmproxy"),
    ("OpenSSL", "TLS"),
    ("ssl", "TLS"),
    ("asyncio.sslproto", "TLS"),
    ("aiohttp", "aiohttp"),
    ("multidict", "aiohttp"),
    ("yarl", "aiohttp"),
    ("asyncio", "event loop and sockets"),
    ("selectors", "event loop and sockets"),
)
"""Module prefixes in the order in which they are tried."""

ELSEWHERE = "elsewhere"


def room_of_module(module: str) -> str | None:
    """Return the room of a module; None for libraries that work for whoever calls them."""
    for prefix, room in ROOMS:
        if module == prefix or module.startswith(f"{prefix}."):
            return room
    return None


def room_of_stack(modules: Iterable[str]) -> str:
    """Return the room of a stack, given innermost first."""
    for module in modules:
        if (room := room_of_module(module)) is not None:
            return room
    return ELSEWHERE
