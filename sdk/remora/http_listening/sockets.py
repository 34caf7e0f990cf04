"""Sockets that listen on ``host:port`` or ``unix:/path``."""

import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

_BACKLOG: Final = 128
_UNIX: Final = "unix:"


def bound(listen: str) -> socket.socket:
    """Bind a socket that does not block.

    Args:
        listen: ``host:port``, where ``[::]`` takes IPv4 as well if the machine has both, or
            ``unix:/path``.

    Raises:
        OSError: It can't be listened there.
    """
    if path := path_in(listen):
        made = _bound_to_path(path)
    else:
        host, _, port = listen.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        both = host == "::" and socket.has_dualstack_ipv6()
        made = socket.create_server(
            (host, int(port)), family=family, backlog=_BACKLOG, dualstack_ipv6=both
        )
    made.setblocking(False)
    return made


def path_in(listen: str) -> Path | None:
    """Give the path of a Unix socket; None for any other."""
    return Path(listen.removeprefix(_UNIX)) if listen.startswith(_UNIX) else None


def address_of(listen: str, made: socket.socket) -> str:
    """Say where a socket listens, with the port that was found for port 0."""
    if path_in(listen):
        return listen
    return f"{listen.rpartition(':')[0]}:{made.getsockname()[1]}"


def _bound_to_path(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and not _is_listened_on(path):
            path.unlink()  # left by one that was killed
        made.bind(str(path))
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _is_listened_on(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(OSError):
        probe.connect(str(path))
        return True
    return False
