"""How many connections this process has room for: each takes a file descriptor."""

import logging

from remora.descriptors import raise_descriptor_limit

logger = logging.getLogger(__name__)

_OTHERS = 768
"""What the database, its copies, the log and HTTP's 512 connections need besides."""


def room_for(connections: int) -> int:
    """Raise the soft limit of file descriptors as far as it goes; return how many may connect."""
    limit = raise_descriptor_limit(connections + _OTHERS)
    room = max(1, min(connections, limit - _OTHERS))
    if room < connections:
        logger.warning("%d connections at most: the limit of open files is %d", room, limit)
    return room
