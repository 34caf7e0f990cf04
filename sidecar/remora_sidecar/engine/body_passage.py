"""An answer's body on its way from the provider to a sink, with no task in between.

What comes is watched and passed on in the very callback that brought it, which spares waking a
task for every event of every stream. The call's own task sleeps until the body is over, is cut, or
finds no room.
"""

import asyncio

import aiohttp

from remora.records import EndReason
from remora_sidecar.engine.answer_sink import AnswerSink
from remora_sidecar.engine.recording import Recording
from remora_sidecar.engine.upstream import AnswerContent
from remora_sidecar.engine.usage_asking import UsageFilter


class BodyPassage:
    """Passes one body on, and has the call recorded before its last byte goes."""

    def __init__(
        self,
        content: AnswerContent,
        length: int | None,
        recording: Recording,
        sink: AnswerSink,
        usage_filter: UsageFilter | None,
        idle_s: float | None = None,
    ) -> None:
        """Take the body, of which nothing was read.

        Args:
            content: What the provider sends.
            length: Of it, in bytes; None if only its end tells.
            recording: Watches it.
            sink: Gets it.
            usage_filter: Takes out what the agent did not ask for.
            idle_s: How long the provider may send nothing; None for no end.
        """
        self._content = content
        self._remaining = length
        self._recording = recording
        self._waiting = recording.seen.waiting
        self._sink = sink
        self._filter = usage_filter
        self._idle_s = idle_s
        self._silence: asyncio.Timeout | None = None
        self._is_over = False
        self._error: Exception | None = None
        self._held_up: asyncio.Future[None] | None = None
        self._is_passing = False
        self._came_meanwhile = False

    async def run(self) -> None:
        """Pass all of it on.

        Raises:
            aiohttp.ClientError: The provider cut it, or was silent for too long
                (`aiohttp.ServerTimeoutError`).
            ConnectionError: Nobody takes it any more.
        """
        sink = self._sink
        while True:
            while self._goes_on and self._pass_next():
                pass
            if self._is_over:
                return
            if sink.congested:
                with self._waiting:
                    await sink.drain()
            else:
                sink.flush()
                await self._pass_as_it_comes()

    @property
    def _goes_on(self) -> bool:
        return not (self._is_over or self._sink.congested)

    async def _pass_as_it_comes(self) -> None:
        """Sleep while others bring and take; returns when it is over or the sink has no room."""
        self._held_up = asyncio.get_running_loop().create_future()
        self._content.follow(self._came)
        try:
            with self._waiting:
                await self._until_held_up(self._held_up)
        finally:
            self._content.follow(None)
        if self._error is not None:
            raise self._error

    async def _until_held_up(self, held_up: asyncio.Future[None]) -> None:
        if self._idle_s is None:
            return await held_up
        try:
            async with asyncio.timeout(self._idle_s) as self._silence:
                await held_up
        except TimeoutError as error:
            text = f"the provider sent nothing for {self._idle_s:g} s"
            raise aiohttp.ServerTimeoutError(text) from error
        finally:
            self._silence = None

    def _came(self) -> None:
        """Take what the provider's protocol has just got; what goes wrong is the task's to hear.

        Reading may itself bring more, from within the call; that waits until this is passed on.
        """
        held_up = self._held_up
        if self._is_passing:
            self._came_meanwhile = True
        elif held_up is not None and not held_up.done():
            self._waiting.stop()
            try:
                self._pass_all()
            except Exception as error:  # noqa: BLE001  # raised again in the task
                self._error = error
            self._waiting.start()
            if self._idle_s is not None:
                self._heard(self._idle_s)
            if self._error is not None or not self._goes_on:
                held_up.set_result(None)

    def _pass_all(self) -> None:
        self._is_passing = True
        try:
            self._pass_next()
            while self._came_meanwhile and self._goes_on:
                self._came_meanwhile = False
                self._pass_next()
        finally:
            self._is_passing = False

    def _heard(self, idle_s: float) -> None:
        """Let the silence begin anew, unless it has just been found too long."""
        if self._silence is not None and not self._silence.expired():
            self._silence.reschedule(asyncio.get_running_loop().time() + idle_s)

    def _pass_next(self) -> bool:
        """Pass on what is there; false if nothing is."""
        chunk = self._content.read_nowait()
        if self._remaining is not None:
            self._remaining -= len(chunk)
        last = self._content.at_eof() or self._remaining == 0
        if not (chunk or last):
            return False
        if self._recording.watch(chunk) or last:
            self._recording.finish(EndReason.COMPLETED)
        if self._filter is not None:
            chunk = self._filter.passed(chunk, last=last)
        self._is_over = last
        if chunk or last:
            self._sink.write(chunk, last=last)
        return True
