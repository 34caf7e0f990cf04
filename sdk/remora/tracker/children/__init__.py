"""Work that is started within a session keeps it, without its caller's help.

A tracker installs this at its first start. What is installed stays, and does nothing where the
context has no session. docs/tracker-children.md lists what keeps its session, and what does not.
"""

from remora.tracker.children.environment import (
    explicit_environment,
    inherited_environment,
    session_environment,
)

__all__ = [
    "explicit_environment",
    "inherited_environment",
    "install_children",
    "session_environment",
]

_is_installed = False


def install_children() -> None:
    """Let threads, executors, programs and processes keep their session; once is enough."""
    global _is_installed
    if _is_installed:
        return
    # Only here, since multiprocessing takes a while to import.
    from remora.tracker.children import executors, pools, processes, programs, threads
    from remora.tracker.locks import installing

    with installing:
        if not _is_installed:
            for part in (threads, executors, pools, processes, programs):
                part.install()
            _is_installed = True
