"""An aggregator's ScoreService in memory, for tests of who decides by scores.

It holds to what `scores.proto` promises of Watch: all that is wanted and known at first, then each
goal that changes, and a beat. It knows what tests tell it.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import grpc

from remora.learning import GoalScores
from remora.score_wire import goal_scores_message
from remora_proto.v1 import scores_pb2 as pb
from remora_proto.v1 import scores_pb2_grpc as pb_grpc

BEAT_S = 5.0


class ScoreServer(pb_grpc.ScoreServiceServicer):
    """Tells watchers what it was told.

    Attributes:
        requests: All that came.
        watchers: Streams that are under way.
        refuses_with: Answer with this status instead; None: answer.
    """

    def __init__(self, beat_s: float = BEAT_S) -> None:
        """Start with nothing known.

        Args:
            beat_s: How often streams say something at least.
        """
        self.requests: list[pb.WatchScoresRequest] = []
        self.watchers = 0
        self.refuses_with: grpc.StatusCode | None = None
        self._beat_s = beat_s
        self._known: dict[str, pb.GoalScores] = {}
        self._changed = asyncio.Condition()

    async def put(self, scores: GoalScores, *, made_unix_ns: int = 1) -> str:
        """Know something newer of a goal; gives its digest."""
        message = goal_scores_message(scores, made_unix_ns=made_unix_ns)
        text = message.SerializeToString(deterministic=True)
        message.digest = hashlib.sha256(text).hexdigest()
        await self.put_message(message)
        return message.digest

    async def put_message(self, message: pb.GoalScores) -> None:
        """Know something newer of a goal, whatever it says."""
        async with self._changed:
            self._known[message.goal] = message
            self._changed.notify_all()

    async def Watch(  # noqa: N802 - the method's name on the wire
        self,
        request: pb.WatchScoresRequest,
        context: grpc.aio.ServicerContext[pb.WatchScoresRequest, pb.WatchScoresResponse],
    ) -> AsyncIterator[pb.WatchScoresResponse]:
        """Tell what is known, then what changes; or refuse as told."""
        self.requests.append(request)
        if self.refuses_with is not None:
            await context.abort(self.refuses_with, "")
        self.watchers += 1
        try:
            told: dict[str, pb.GoalScores] = {}
            while True:
                for message in self._news(request, told):
                    told[message.goal] = message
                    yield pb.WatchScoresResponse(scores=message)
                yield pb.WatchScoresResponse(ready=True, beat_s=self._beat_s)
                await self._wait(request, told)
        finally:
            self.watchers -= 1

    def _news(
        self, request: pb.WatchScoresRequest, told: dict[str, pb.GoalScores]
    ) -> list[pb.GoalScores]:
        goals = {one.goal for one in request.wanted}
        wanted = [m for goal, m in self._known.items() if goal in goals or "" in goals]
        return [message for message in wanted if told.get(message.goal) is not message]

    async def _wait(self, request: pb.WatchScoresRequest, told: dict[str, pb.GoalScores]) -> None:
        """Wait for news, no longer than until the next beat."""
        async with self._changed:
            try:
                async with asyncio.timeout(self._beat_s):
                    await self._changed.wait_for(lambda: self._news(request, told))
            except TimeoutError:
                return
