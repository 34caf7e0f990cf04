"""How many connections this process has room for: each takes a file descriptor."""

import logging
import resource

logger = logging.getLogger(__name__)

_OTHERS = 768
"""What the database, its copies, the log and HTTP's 512 connections need besides."""


def room_for(connections: int) -> int:
    """Raise the soft limit of file descriptors as far as it goes; return how many may connect."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHERS
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = max(1, min(connections, soft - _OTHERS))
    if room < connections:
        logger.warning("%d connections at most: the limit of open files is %d", room, soft)
    return room
