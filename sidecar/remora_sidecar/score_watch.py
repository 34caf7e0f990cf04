"""Follows what the aggregator knows of arms, for the goals that policy learns by.

Calls never wait for it: while the aggregator is away what it said last decides, and without an
aggregator that keeps scores all candidates are as likely.
"""

import asyncio
import logging
import random
from collections.abc import Callable

import grpc

from remora.errors import RemoraError
from remora.pauses import GrowingPause, Sleep
from remora.score_wire import goal_scores_of, settings_message
from remora_proto.v1 import scores_pb2 as pb
from remora_proto.v1 import scores_pb2_grpc as pb_grpc
from remora_sidecar.grpc_peer import Target, explained
from remora_sidecar.policy.score_book import MAX_GOALS, ScoreBook, ScoreSnapshot

logger = logging.getLogger(__name__)

LONGEST_PAUSE_S = 5.0
OLD_VERSION_PAUSE_S = 60.0
"""Before an aggregator that keeps no scores is asked again: a newer one may have replaced it."""

FIRST_ANSWER_S = 20.0
_SILENT_BEATS = 3
_MOST_SILENT_S = 600.0

_MEANINGS = {grpc.StatusCode.PERMISSION_DENIED: "this sidecar may not ask it for scores"}


def snapshot_of(message: pb.GoalScores) -> ScoreSnapshot:
    """Read a snapshot; raises ValueError where no decision can go by it."""
    return ScoreSnapshot(
        goal_scores_of(message), message.digest, message.made_unix_nano, message.version
    )


def question(book: ScoreBook, workload: str) -> pb.WatchScoresRequest:
    """Ask for what policy goes by; what it says nothing of is as the aggregator has it."""
    wanted = [
        pb.WatchScoresRequest.Wanted(
            goal=one.goal,
            settings=settings_message(dict(one.settings)) if one.settings else None,
            gated=one.is_gated,
        )
        for one in book.wanted
    ]
    return pb.WatchScoresRequest(
        wanted=wanted, workload=workload, across_namespaces=book.across_namespaces
    )


class _AskAnewError(Exception):
    """Policy goes by other scores than the stream was asked for."""


class ScoreWatch:
    """Tells a book what an aggregator knows.

    Attributes:
        is_watched: Whether news come now.
        problem: Why no news come, or not all; empty if they do, none are wanted, or the aggregator
            keeps no scores.
    """

    def __init__(
        self,
        target: Target,
        book: ScoreBook,
        *,
        workload: str = "",
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take where the aggregator is; nothing is dialled before `run`.

        Args:
            target: Whom to ask.
            book: Whom to tell, and who says what is wanted.
            workload: Of the pod: its own evidence counts first.
            sleep: How to wait.
            jitter: Between 0 and 1: which part of a pause is taken from it.
        """
        self.is_watched = False
        self.problem = ""
        self._target = target
        self._book = book
        self._workload = workload
        self._sleep = sleep
        self._next_pause = GrowingPause(jitter, longest_s=LONGEST_PAUSE_S)
        self._asks_anew = asyncio.Event()
        self._patience: asyncio.Timeout | None = None
        self._unread = ""
        book.asks_anew = self._ask_anew

    def _ask_anew(self) -> None:
        self._asks_anew.set()
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            self._asks_anew.clear()
            if not self._book.wanted:
                self.problem = ""
                await self._asks_anew.wait()
                continue
            pause_s = await self._stream()
            if not self._asks_anew.is_set():
                await self._sleep(pause_s or self._next_pause.next_s())

    async def _stream(self) -> float | None:
        """Follow one stream to its end; say how long to wait if that is known."""
        try:
            async with self._target.aio_channel() as channel:
                await self._follow(pb_grpc.ScoreServiceStub(channel))
            self._failed("it ended the stream")
        except _AskAnewError:
            pass
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                self.problem = ""
                return OLD_VERSION_PAUSE_S
            self._failed(explained(error, _MEANINGS))
        except TimeoutError:
            self._failed("it fell silent")
        except (OSError, RemoraError) as error:
            self._failed(str(error))
        finally:
            self.is_watched = False
        return None

    async def _follow(self, stub: "pb_grpc.ScoreServiceAsyncStub") -> None:
        self._unread = ""
        call = stub.Watch(question(self._book, self._workload))
        first: dict[str, ScoreSnapshot] | None = {}
        silent_s = FIRST_ANSWER_S
        try:
            while True:
                event = await self._next(call, silent_s)
                if not isinstance(event, pb.WatchScoresResponse):
                    return
                if event.beat_s > 0:
                    silent_s = min(max(_SILENT_BEATS * event.beat_s, 1.0), _MOST_SILENT_S)
                if event.HasField("scores"):
                    self._take(event.scores, first)
                if event.ready:
                    if first is not None:
                        self._book.take_all(first.values())
                        first = None
                    self._stands()
        finally:
            call.cancel()

    async def _next(
        self,
        call: "grpc.aio.UnaryStreamCall[pb.WatchScoresRequest, pb.WatchScoresResponse]",
        silent_s: float,
    ) -> object:
        """Wait for the next event, as long as the stream is the one that policy asks for."""
        try:
            async with asyncio.timeout(silent_s) as self._patience:
                if self._asks_anew.is_set():
                    raise _AskAnewError
                return await call.read()
        except TimeoutError:
            if self._asks_anew.is_set():
                raise _AskAnewError from None
            raise
        finally:
            self._patience = None

    def _take(self, message: pb.GoalScores, first: dict[str, ScoreSnapshot] | None) -> None:
        known: ScoreSnapshot | None
        try:
            known = snapshot_of(message)
        except ValueError as error:
            self._unread = f"its scores of the goal {message.goal!r} can't be read: {error}"
            known = self._book.get(message.goal)
        if first is None:
            if known is not None:
                self._book.take(known)
        elif known is not None and (len(first) < MAX_GOALS or message.goal in first):
            first[message.goal] = known

    def _stands(self) -> None:
        self.is_watched = True
        self._next_pause.begin_anew()
        if self._unread:
            self._failed(self._unread)
        elif self.problem:
            logger.warning("the aggregator at %s tells of scores again", self._target.address)
            self.problem = ""

    def _failed(self, why: str) -> None:
        problem = f"the aggregator at {self._target.address} does not tell of all scores: {why}"
        if problem != self.problem:
            logger.warning("%s; learned routing goes on by what it told last", problem)
        self.problem = problem
