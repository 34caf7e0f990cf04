"""No core dumps: a process that holds keys and prompts must not leave them on a disk."""

import ctypes
import os
import resource
import sys

_PR_SET_DUMPABLE = 4
"""Of <linux/prctl.h>."""


def switch_off_core_dumps() -> None:
    """Forbid this process, for good, to be dumped, and others of its user to look into it.

    A limit of 0 does not stop a core that the kernel hands to a program (systemd-coredump):
    only a process that is not dumpable has none.

    Raises:
        OSError: The kernel refuses; the process should not go on.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        _set_undumpable()


def _set_undumpable() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"core dumps can't be switched off: {os.strerror(number)}")
