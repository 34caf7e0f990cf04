"""Whose call is next: runs take turns, so that a large one holds no small one up."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

CALLS_AT_ONCE: Final = 256
"""Calls of all runs together."""

type Start = Callable[[], None]


class Turns:
    """Lets a bounded number of calls go at once; used on one event loop.

    Each run that has calls waiting gets one in, in turn; its own go in their order.
    """

    def __init__(self, at_once: int = CALLS_AT_ONCE) -> None:
        """Begin with nothing going."""
        self._room = at_once
        self._waiting: OrderedDict[str, OrderedDict[str, Start]] = OrderedDict()
        self._is_shut = False

    @property
    def room(self) -> int:
        """How many calls may be started now."""
        return self._room

    def want(self, run: str, call: str, start: Start) -> None:
        """Have a call started once it is its turn, maybe now; `done` has to follow."""
        self._waiting.setdefault(run, OrderedDict())[call] = start
        self._go()

    def forget(self, run: str, call: str) -> bool:
        """Start a call no more; tells whether it had still waited."""
        calls = self._waiting.get(run)
        if calls is None or calls.pop(call, None) is None:
            return False
        if not calls:
            del self._waiting[run]
        return True

    def done(self) -> None:
        """Note that a call that was started is over."""
        self._room += 1
        self._go()

    def shut(self) -> None:
        """Start nothing any more."""
        self._is_shut = True

    def _go(self) -> None:
        while self._room > 0 and self._waiting and not self._is_shut:
            run, calls = self._waiting.popitem(last=False)
            _, start = calls.popitem(last=False)
            if calls:
                self._waiting[run] = calls
            self._room -= 1
            start()
