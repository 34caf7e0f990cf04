"""Being told to stop by a signal, also while still starting."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Stop:
    """The signals that end a part: SIGTERM and SIGINT.

    Attributes:
        told: Set by the first of them.
        ends_start: Whether it also ends, at once, what goes on inside of `heeded`: so it is until
            the part has started and takes its own time to stop.
    """

    def __init__(self) -> None:
        """Begin before the start."""
        self.told = asyncio.Event()
        self.ends_start = True

    @asynccontextmanager
    async def heeded(self) -> AsyncIterator[None]:
        """Heed signals; leaves quietly where one has ended the start."""
        starting = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._tell, starting)
        try:
            yield
        except asyncio.CancelledError:
            if not (self.told.is_set() and self.ends_start):
                raise

    def _tell(self, starting: asyncio.Task[object] | None) -> None:
        if self.ends_start and not self.told.is_set() and starting is not None:
            starting.cancel()
        self.told.set()
