"""ScoreService: follows scores, and tells and changes what they stand on."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from remora.errors import BadRequest
from remora.learning.settings import LearningSettings
from remora.score_wire import settings_message, settings_of
from remora_aggregator.service.caller import Caller, Callers
from remora_aggregator.service.grpc_errors import Context, errors_as_status
from remora_aggregator.service.permissions import Act, may
from remora_aggregator.service.score_making import ScoreMaking
from remora_aggregator.service.score_reports import ScoreReports
from remora_aggregator.service.score_versions import ScoreVersions
from remora_aggregator.service.score_watch import Watching, wanted_goals
from remora_aggregator.service.score_wire import version_message
from remora_aggregator.signals.names import ALL_GOALS, goal_of
from remora_aggregator.signals.ports import GoalKey, LogSelection, ScoreStore, VersionBook
from remora_aggregator.signals.versioning import in_force, version_of
from remora_proto.v1 import scores_pb2 as pb
from remora_proto.v1 import scores_pb2_grpc as pb_grpc

BEAT_S = 20.0

_NS_PER_MS = 1_000_000


class ScoreService(pb_grpc.ScoreServiceServicer):
    """Serves one store. What makes its scores has to be told of changes (`ScoreFeed.run`)."""

    def __init__(
        self,
        store: ScoreStore,
        making: ScoreMaking,
        versions: ScoreVersions,
        reports: ScoreReports,
        callers: Callers,
        *,
        beat_s: float = BEAT_S,
    ) -> None:
        """Take the store and who says who calls.

        Args:
            store: Of sums, settings and versions.
            making: Makes scores.
            versions: Makes router versions.
            reports: Say how goals do.
            callers: Say who calls.
            beat_s: Watches are sent something at least so often.
        """
        self._store = store
        self._making = making
        self._versions = versions
        self._reports = reports
        self._callers = callers
        self._beat_s = beat_s

    async def Watch(  # noqa: N802 - gRPC's name
        self, request: pb.WatchScoresRequest, context: Context
    ) -> AsyncIterator[pb.WatchScoresResponse]:
        """Follow scores: all that are wanted at first, then those that changed."""
        async with errors_as_status(context):
            caller = self._caller(context)
            wanted = wanted_goals(request, caller.namespace_of(""))
            await self._note_sharing(caller, shares=request.across_namespaces)
            watching = Watching(self._store, self._making, wanted, self._beat_s)
            async with aclosing(watching.messages()) as messages:
                async for message in messages:
                    yield message

    async def _note_sharing(self, caller: Caller, *, shares: bool) -> None:
        """Note whether the caller's namespace shares, if it is a sidecar that says so."""
        namespace = caller.namespace
        if not namespace or not may(caller.role, Act.REPORT):
            return
        await self._making.feed.look_who_shares()
        if (namespace in self._making.feed.sharing) != shares:
            await self._store.share(namespace, shares=shares)
            await self._making.feed.look_who_shares()

    async def Scores(self, request: pb.ScoresRequest, context: Context) -> pb.ScoresResponse:  # noqa: N802 - gRPC's name
        """Say how goals do."""
        async with errors_as_status(context):
            return await self._reports.scores(
                self._namespace(context, request.namespace),
                request.goal,
                workload=request.workload,
                window_s=request.window_s,
            )
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Timeline(self, request: pb.TimelineRequest, context: Context) -> pb.TimelineResponse:  # noqa: N802 - gRPC's name
        """Say how a goal's arms did over time."""
        async with errors_as_status(context):
            return await self._reports.timeline(
                self._namespace(context, request.namespace),
                request.goal,
                since_unix_ns=request.since_unix_nano,
                until_unix_ns=request.until_unix_nano,
                points=request.points,
            )
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Benchmarks(  # noqa: N802 - gRPC's name
        self, request: pb.BenchmarksRequest, context: Context
    ) -> pb.BenchmarksResponse:
        """Say what models were measured to do."""
        async with errors_as_status(context):
            caller = self._caller(context)
            return await self._reports.benchmarks(
                _namespaces(caller, request.namespace),
                since_unix_ns=request.since_unix_nano,
                until_unix_ns=request.until_unix_nano,
                goal=request.goal,
                only_pod_uid=caller.scope.pod_uid,
            )
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Log(  # noqa: N802 - gRPC's name
        self, request: pb.LogRequest, context: Context
    ) -> AsyncIterator[pb.LogResponse]:
        """Give the decisions of a known chance that were judged."""
        async with errors_as_status(context):
            selected = LogSelection(
                _namespaces(self._caller(context), request.namespace),
                goal_of(request.goal),
                request.since_unix_nano // _NS_PER_MS,
                request.until_unix_nano // _NS_PER_MS,
            )
            async for calls in self._reports.log(selected, limit=request.limit):
                yield pb.LogResponse(calls=calls)

    async def Versions(self, request: pb.VersionsRequest, context: Context) -> pb.VersionsResponse:  # noqa: N802 - gRPC's name
        """List router versions, or give one with its scores."""
        async with errors_as_status(context):
            namespace = self._namespace(context, request.namespace)
            return await self._reports.versions(namespace, request.number)
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Propose(  # noqa: N802 - gRPC's name
        self, request: pb.ProposeVersionRequest, context: Context
    ) -> pb.RouterVersion:
        """Make a version, and have the gate judge it."""
        async with errors_as_status(context):
            namespace = self._steered(context, request.namespace)
            book, number = await self._versions.propose(
                namespace, note=request.note, activate=request.activate
            )
            return version_message(book, version_of(book, number))
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Activate(  # noqa: N802 - gRPC's name
        self, request: pb.ActivateVersionRequest, context: Context
    ) -> pb.RouterVersion:
        """Put a version in force."""
        async with errors_as_status(context):
            namespace = self._steered(context, request.namespace)
            return _in_force(await self._versions.activate(namespace, request.number))
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def RollBack(  # noqa: N802 - gRPC's name
        self, request: pb.RollBackRequest, context: Context
    ) -> pb.RouterVersion:
        """Put back in force what was before."""
        async with errors_as_status(context):
            namespace = self._steered(context, request.namespace)
            return _in_force(await self._versions.roll_back(namespace))
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Diff(  # noqa: N802 - gRPC's name
        self, request: pb.DiffVersionsRequest, context: Context
    ) -> pb.DiffVersionsResponse:
        """List what is otherwise in a version than in another."""
        async with errors_as_status(context):
            namespace = self._namespace(context, request.namespace)
            return await self._reports.diff(namespace, request.old_number, request.new_number)
        raise AssertionError("the context ends the call")  # pragma: no cover

    async def Settings(self, request: pb.SettingsRequest, context: Context) -> pb.SettingsResponse:  # noqa: N802 - gRPC's name
        """Give the settings of a goal, or put them."""
        async with errors_as_status(context):
            is_put = request.HasField("put")
            find = self._steered if is_put else self._namespace
            namespace = find(context, request.namespace)
            goal = request.goal if request.goal == ALL_GOALS else goal_of(request.goal)
            if not goal:
                raise BadRequest(f"say which goal is meant; {ALL_GOALS!r}: those without their own")
            key = GoalKey(namespace, goal)
            if is_put:
                await self._store.put_settings(key, _settings(request.put))
                self._making.feed.renew(namespace)
            found = await self._making.settings(key)
            return pb.SettingsResponse(settings=settings_message(found.as_mapping()))
        raise AssertionError("the context ends the call")  # pragma: no cover

    def _namespace(self, context: Context, wanted: str) -> str:
        return self._caller(context).namespace_of(wanted)

    def _steered(self, context: Context, wanted: str) -> str:
        caller = self._caller(context)
        caller.must(Act.STEER_SCORES)
        return caller.namespace_of(wanted)

    def _caller(self, context: Context) -> Caller:
        return self._callers.caller(context.invocation_metadata() or ())


def _namespaces(caller: Caller, wanted: str) -> frozenset[str] | None:
    return frozenset({caller.namespace_of(wanted)}) if wanted else caller.namespaces


def _settings(message: pb.LearningSettings) -> LearningSettings:
    try:
        return settings_of(message)
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _in_force(book: VersionBook) -> pb.RouterVersion:
    version = in_force(book)
    assert version is not None  # noqa: S101 - it was put in force just now
    return version_message(book, version)
