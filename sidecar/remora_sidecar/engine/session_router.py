"""A session's router in another process: what it is asked, and what became of the asks.

The control listener holds the connection, hands on what is to be sent and what came; calls only
ask. Whatever happens to an ask, its call goes on: as the router says, or as it was.
"""

import asyncio
import itertools
from collections.abc import Iterable
from typing import Final, NamedTuple

from remora.records import CallRecord
from remora.router_messages import ask_text, read_answer, record_text
from remora.routing import RouteContext

ANSWER_WITHIN_S: Final = 0.25
"""A later answer is ignored."""

MAX_ASKS: Final = 64
"""In flight at once; further calls are not asked for."""

HISTORY_BYTES: Final = 256 * 1024
"""Of the records that come with an ask; the newest are kept."""


class Advice(NamedTuple):
    """What a session's router made of a call.

    Attributes:
        model: To ask for; None leaves the call as it was.
        note: What a person should know of it.
    """

    model: str | None
    note: str = ""


LEFT_AS_IT_WAS: Final = Advice(None, "the session's router left the call as it was")


def unrouted(why: str) -> Advice:
    """Leave a call as it was, for a reason that its record tells."""
    return Advice(None, f"the session's router {why}: unrouted")


class SessionRouter:
    """One connection of a router, as calls see it.

    Attributes:
        closed_because: What happened to it; empty while it can be asked.
    """

    def __init__(self) -> None:
        """Start with nothing asked."""
        self.closed_because = ""
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Advice]] = {}
        self._unsent: dict[int, str] = {}
        self._changed = asyncio.Event()
        self._history: dict[tuple[str, int], str] = {}

    async def ask(self, context: RouteContext, *, has_body: bool = True) -> Advice:
        """Ask for a model; whatever goes wrong, the call is to go on as it was.

        Args:
            context: What the router is told.
            has_body: Whether the request's body is told as well.
        """
        if self.closed_because:
            return unrouted(self.closed_because)
        if len(self._asked) >= MAX_ASKS:
            return unrouted(f"has {MAX_ASKS} calls to answer already")
        number = next(self._numbers)
        history = self._texts(context.history)
        try:
            text = ask_text(number, context, history, has_body=has_body)
        except ValueError as error:
            return unrouted(f"was not asked ({error})")
        return await self._answered(number, text)

    async def _answered(self, number: int, text: str) -> Advice:
        answer: asyncio.Future[Advice] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._unsent[number] = text
        self._changed.set()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await answer
        except TimeoutError:
            return unrouted(f"did not answer within {ANSWER_WITHIN_S * 1000:.0f} ms")
        finally:
            del self._asked[number]
            self._unsent.pop(number, None)

    async def next_message(self) -> str | None:
        """Wait for the next ask to send, the oldest first; None once the router is closed.

        An ask that its call no longer waits for is never sent.
        """
        while not self.closed_because:
            if self._unsent:
                return self._unsent.pop(next(iter(self._unsent)))
            self._changed.clear()
            await self._changed.wait()
        return None

    def take(self, text: str | bytes) -> None:
        """Take an answer; one that comes too late is ignored.

        Raises:
            ValueError: It is no answer.
        """
        answer = read_answer(text)
        asked = self._asked.get(answer.number)
        if asked is None or asked.done():
            return
        if answer.error:
            asked.set_result(unrouted(f"failed ({answer.error})"))
        elif not answer.is_readable:
            asked.set_result(unrouted("answered with what is no model"))
        elif answer.model is None:
            asked.set_result(LEFT_AS_IT_WAS)
        else:
            asked.set_result(Advice(answer.model))

    def close(self, why: str) -> None:
        """Let all calls that wait go on as they were; of several closings the first counts.

        Args:
            why: What happened to the router, for their records.
        """
        if self.closed_because:
            return
        self.closed_because = why
        self._changed.set()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_result(unrouted(why))

    def _texts(self, history: Iterable[CallRecord]) -> list[str]:
        """Write the newest records that fit, oldest first; each is written once, then known."""
        known = self._history
        self._history = {
            (one.call_id, one.revision): known.get((one.call_id, one.revision)) or record_text(one)
            for one in history
        }
        texts, room = [], HISTORY_BYTES
        for text in reversed(self._history.values()):
            if (room := room - len(text)) < 0:
                break
            texts.append(text)
        return texts[::-1]
