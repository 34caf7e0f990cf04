"""Scores and router versions, asked of an aggregator by a program with an event loop."""

from collections.abc import AsyncIterator

from remora.client.async_aggregator import AsyncAggregatorClient
from remora.client.failures import understood
from remora.client.router_version import KeptVersion, difference_of, version_of
from remora.client.score_report import (
    Benchmark,
    GoalReport,
    TimelinePoint,
    benchmark_of,
    goal_report_of,
    logged_decision_of,
    timeline_point_of,
)
from remora.client.score_requests import (
    EVER,
    Span,
    benchmarks_request,
    log_request,
    scores_request,
    timeline_request,
)
from remora.client.target import AggregatorTarget
from remora.learning.logged_decision import LoggedDecision
from remora.learning.settings import LearningSettings
from remora.learning.versions import Difference
from remora.score_wire import SettingValues, settings_message, settings_of
from remora_proto.v1 import scores_pb2 as pb
from remora_proto.v1 import scores_pb2_grpc as pb_grpc


class AsyncScoreClient(AsyncAggregatorClient):
    """As `remora.client.scores.ScoreClient`, for one event loop."""

    def __init__(self, target: AggregatorTarget) -> None:
        """Open the channel; it is dialled by the first question.

        Raises:
            ConfigError: The address is none, or a file of the target can't be used.
        """
        super().__init__(target)
        self._stub = pb_grpc.ScoreServiceStub(self._channel)

    async def scores(
        self, goal: str = "", *, namespace: str = "", workload: str = "", window_s: int = 0
    ) -> list[GoalReport]:
        """Say how goals do."""
        request = scores_request(namespace, goal, workload, window_s)
        answer = await self._ask(self._stub.Scores, request)
        with understood(self._target):
            return [goal_report_of(one) for one in answer.goals]

    async def timeline(
        self, goal: str, span: Span = EVER, *, namespace: str = "", points: int = 0
    ) -> list[TimelinePoint]:
        """Say how the arms of a goal did over time; by arm, then by time."""
        request = timeline_request(namespace, goal, span, points)
        answer = await self._ask(self._stub.Timeline, request)
        with understood(self._target):
            return [timeline_point_of(one) for one in answer.points]

    async def benchmarks(
        self, span: Span = EVER, *, goal: str = "", namespace: str = ""
    ) -> list[Benchmark]:
        """Say what models were measured to do, those with the most calls first."""
        request = benchmarks_request(namespace, goal, span)
        answer = await self._ask(self._stub.Benchmarks, request)
        with understood(self._target):
            return [benchmark_of(one) for one in answer.benchmarks]

    async def log(
        self,
        span: Span = EVER,
        *,
        goal: str = "",
        namespace: str = "",
        limit: int | None = None,
    ) -> AsyncIterator[LoggedDecision]:
        """Yield decisions of a known chance that were judged, the oldest first."""
        request = log_request(namespace, goal, span, limit)
        async for answer in self._stream(self._stub.Log, request):
            with understood(self._target):
                calls = [logged_decision_of(one) for one in answer.calls]
            for call in calls:
                yield call

    async def versions(self, *, namespace: str = "") -> list[KeptVersion]:
        """List the router versions, the newest first, without scores."""
        answer = await self._ask(self._stub.Versions, pb.VersionsRequest(namespace=namespace))
        with understood(self._target):
            return [version_of(one) for one in answer.versions]

    async def version(self, number: int, *, namespace: str = "") -> KeptVersion | None:
        """Give a router version with its scores; None if there is none of that number."""
        request = pb.VersionsRequest(namespace=namespace, number=number)
        answer = await self._ask(self._stub.Versions, request)
        with understood(self._target):
            return next((version_of(one) for one in answer.versions), None)

    async def propose(
        self, note: str = "", *, activate: bool = False, namespace: str = ""
    ) -> KeptVersion:
        """Make a version of the scores as they are now, and have the gate judge it."""
        request = pb.ProposeVersionRequest(namespace=namespace, note=note, activate=activate)
        return self._version(await self._ask(self._stub.Propose, request))

    async def activate(self, number: int, *, namespace: str = "") -> KeptVersion:
        """Put a version in force, whatever the gate said."""
        request = pb.ActivateVersionRequest(namespace=namespace, number=number)
        return self._version(await self._ask(self._stub.Activate, request))

    async def roll_back(self, *, namespace: str = "") -> KeptVersion:
        """Put back in force what was before; gives that."""
        request = pb.RollBackRequest(namespace=namespace)
        return self._version(await self._ask(self._stub.RollBack, request))

    async def differences(
        self, old_number: int = 0, new_number: int = 0, *, namespace: str = ""
    ) -> list[Difference]:
        """List what is otherwise in another version."""
        request = pb.DiffVersionsRequest(
            namespace=namespace, old_number=old_number, new_number=new_number
        )
        answer = await self._ask(self._stub.Diff, request)
        with understood(self._target):
            return [difference_of(one) for one in answer.differences]

    async def settings(
        self, goal: str, *, put: SettingValues | None = None, namespace: str = ""
    ) -> LearningSettings:
        """Give the settings of a goal; ``*`` stands for those that have none of their own."""
        message = None if put is None else settings_message(put)
        request = pb.SettingsRequest(namespace=namespace, goal=goal, put=message)
        answer = await self._ask(self._stub.Settings, request)
        with understood(self._target):
            return settings_of(answer.settings)

    def _version(self, message: pb.RouterVersion) -> KeptVersion:
        with understood(self._target):
            return version_of(message)
