"""Work that runs within a session, wherever it is carried out.

What starts threads, fills pools and starts processes wraps here what the user gave it. It must
not know any of them.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

from remora.tracker.active import ActiveSession, SidecarAccess, within


class SessionWork:
    """A callable that runs within a session.

    Pickled, it prepares the process that it comes to, so that calls and children of that
    process are its session's as well.
    """

    __slots__ = ("_call", "_session")

    def __init__(self, session: ActiveSession, call: Callable[..., Any]) -> None:
        """Keep what to call, and within which session."""
        self._session = session
        self._call = call

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it within the session."""
        with within(self._session):
            return self._call(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Send both to another process, where `_ArrivedWork` is made of them."""
        return _ArrivedWork, (self._session, self._call)


class _ArrivedWork(SessionWork):
    """Work that came from another process."""

    __slots__ = ()

    def __init__(self, session: ActiveSession, call: Callable[..., Any]) -> None:
        # Each piece of work brings a copy of what it needs to know of the sidecar; connections
        # and TLS contexts are kept for the first of equal ones only.
        super().__init__(ActiveSession(session.session_id, _first_of_equal(session.sidecar)), call)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        from remora.tracker.children import install_children
        from remora.tracker.clients import install_clients

        install_clients()
        install_children()
        return super().__call__(*args, **kwargs)


@lru_cache(maxsize=64)
def _first_of_equal(sidecar: SidecarAccess) -> SidecarAccess:
    return sidecar


def session_run(session: ActiveSession, started: object, current: Callable[[], Any]) -> SessionWork:
    """Make what is to stand in place of the ``run`` of a thread or process.

    It does not refer to the thread or process, which would then refer to itself.

    Args:
        session: Within which it is to run.
        started: The thread or process.
        current: Gives it, called from what runs in it.
    """
    return SessionWork(session, partial(_run, current, vars(started).get("run")))


def put_run(started: object, run: Callable[[], Any] | None) -> None:
    """Set the ``run`` of one thread or process alone; None for that of its class."""
    if run is None:
        vars(started).pop("run", None)
    else:
        vars(started)["run"] = run


def _run(current: Callable[[], Any], own: Callable[[], Any] | None) -> None:
    started = current()
    put_run(started, own)
    started.run()


def session_items(session: ActiveSession, items: Iterable[Any]) -> Iterator[Any]:
    """Take items within a session; whoever consumes them stays outside of it."""
    with within(session):
        iterator = iter(items)
    while True:
        with within(session):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item
