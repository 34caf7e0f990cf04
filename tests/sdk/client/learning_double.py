"""An aggregator's services of signals and scores, on a real port, that say what a test wants."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from remora_proto.v1 import scores_pb2 as scores
from remora_proto.v1 import scores_pb2_grpc, signals_pb2_grpc
from remora_proto.v1 import signals_pb2 as signals

NOW_NS = 1_790_000_000_000_000_000
DIGEST = "ab" * 32


def arm_score(model: str, good: float, bad: float, **fields: object) -> scores.ArmScore:
    """Make what is known of an arm of openai's."""
    made = scores.ArmScore(
        arm=scores.Arm(provider="openai", model=model),
        posterior=scores.Counts(good=1 + good, bad=1 + bad),
        samples=good + bad,
    )
    made.MergeFrom(scores.ArmScore(**fields))
    return made


def arm_report(model: str, good: float, bad: float, **fields: object) -> scores.ArmReport:
    """Make how an arm does."""
    return scores.ArmReport(
        score=arm_score(model, good, bad, **fields),
        evidence=scores.Counts(good=good, bad=bad),
        rate=good / (good + bad) if good + bad else None,
        low=0.5,
        high=0.9,
        calls=round(good + bad) + 5,
    )


GOAL = scores.GoalReport(
    goal="extract",
    status="degraded",
    trend="worsening",
    rate=0.7,
    low=0.6,
    high=0.8,
    arms=[
        arm_report("small", 30, 30, cost_usd=0.0001, latency_ms=420.0, is_stale=True),
        arm_report(
            "large",
            80,
            20,
            cost_usd=0.002,
            latency_ms=1500.0,
            shift=scores.Shift(
                at_unix_nano=NOW_NS,
                before=scores.Counts(good=90, bad=10),
                after=scores.Counts(good=50, bad=50),
            ),
        ),
        arm_report("new", 2.5, 0.25),
        scores.ArmReport(score=arm_score("unheard", 0, 0), low=0, high=1),
    ],
    failures=[scores.FailureMode(category="malformed_output", calls=7)],
    insights=[
        scores.Insight(
            kind="drift_detected",
            goal="extract",
            arm="openai/large",
            evidence={"rate_before": "0.9"},
            advice="look what changed",
        )
    ],
    settings=scores.LearningSettings(band=0.1, half_life_ms=0),
    version=3,
    last_unix_nano=NOW_NS,
)
POINTS = [
    scores.TimelineResponse.Point(
        arm="openai/small", start_unix_nano=NOW_NS + at, end_unix_nano=NOW_NS + at + 10,
        evidence=scores.Counts(good=good, bad=1), rate=good / (good + 1), low=0.1, high=0.9,
    )
    for at, good in ((0, 1), (10, 3))
]  # fmt: skip
BENCHMARK = scores.Benchmark(
    provider="openai", model="small", calls=12, errors=1, latency_p50_s=0.5, latency_p95_s=1.5,
    ttft_p50_s=0.1, output_tokens_per_s=80, mean_cost_usd="0.0005",
    evidence=scores.Counts(good=8, bad=2), acceptance=0.8, low=0.5, high=0.9,
)  # fmt: skip
VERSION = scores.RouterVersion(
    number=2, made_unix_nano=NOW_NS, digest=DIGEST, note="nightly", in_force=True,
    verdict="accepted", reason="+3.0% good answers", advantage=0.03, advantage_low=0.01,
    advantage_high=0.05,
)  # fmt: skip
DIFFERENCES = [
    scores.DiffVersionsResponse.Difference(
        goal="extract", field="band", before="0.05", after="0.1"
    ),
    scores.DiffVersionsResponse.Difference(
        goal="extract", arm="openai/new", field="arm", after="0.5"
    ),
]


def logged_call(number: int, **fields: object) -> scores.LoggedCall:
    """Make a decision of an even choice between two models."""
    made = scores.LoggedCall(
        call_id=f"{number:032x}",
        goal="extract",
        arm="openai/small",
        arms=["openai/small", "openai/large"],
        propensity=0.5,
        reward=1.0,
        confidence=1.0,
        started_unix_nano=NOW_NS + number,
        requested_model="auto",
        rule="r",
    )
    for name, value in fields.items():  # zeros as well, which merging would pass over
        setattr(made, name, value)
    return made


@dataclass
class Double:
    """What is answered, and what was asked.

    Attributes:
        asked: Every request, in order.
        stored: Signals to list, the newest first.
        refuse: Of the signals whose dimension is this one says no.
        fail: After so many batches of signals the service is away.
        log: Decisions to stream, in pages of two.
    """

    asked: list[object] = field(default_factory=list)
    stored: Sequence[signals.StoredSignal] = ()
    refuse: str = "bad"
    fail_after: int = 1_000
    log: Sequence[scores.LoggedCall] = ()
    goals: Sequence[scores.GoalReport] = (GOAL,)
    versions: Sequence[scores.RouterVersion] = (VERSION,)
    settings: scores.LearningSettings = field(default_factory=scores.LearningSettings)
    address: str = ""

    def of(self, kind: type) -> list[object]:
        """Give the requests of a kind."""
        return [request for request in self.asked if isinstance(request, kind)]


class _Signals(signals_pb2_grpc.SignalServiceServicer):
    def __init__(self, double: Double) -> None:
        self._double = double

    def Send(self, request, context):  # noqa: N802 - gRPC's name
        double = self._double
        double.asked.append(request)
        if len(double.of(signals.SendSignalsRequest)) > double.fail_after:
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        answer = signals.SendSignalsResponse()
        for index, signal in enumerate(request.signals):
            if signal.dimension == double.refuse:
                answer.refused.add(index=index, reason="no such dimension")
        answer.accepted = len(request.signals) - len(answer.refused)
        answer.known = sum(signal.signal_id == "again" for signal in request.signals)
        answer.waiting = 1
        return answer

    def Query(self, request, context):  # noqa: N802 - gRPC's name
        self._double.asked.append(request)
        at = int(request.cursor or 0)
        page = self._double.stored[at : at + request.limit]
        rest = at + len(page) < len(self._double.stored)
        return signals.QuerySignalsResponse(
            signals=page, next_cursor=str(at + len(page)) if rest else ""
        )


class _Scores(scores_pb2_grpc.ScoreServiceServicer):
    def __init__(self, double: Double) -> None:
        self._double = double

    def Scores(self, request, context):  # noqa: N802 - gRPC's name
        self._double.asked.append(request)
        goals = [one for one in self._double.goals if request.goal in ("", one.goal)]
        return scores.ScoresResponse(goals=goals)

    def Timeline(self, request, context):  # noqa: N802 - gRPC's name
        self._double.asked.append(request)
        return scores.TimelineResponse(points=POINTS if request.goal == "extract" else [])

    def Benchmarks(self, request, context):  # noqa: N802 - gRPC's name
        self._double.asked.append(request)
        return scores.BenchmarksResponse(benchmarks=[BENCHMARK])

    def Log(self, request, context):  # noqa: N802 - gRPC's name
        self._double.asked.append(request)
        for at in range(0, len(self._double.log), 2):
            yield scores.LogResponse(calls=self._double.log[at : at + 2])

    def Versions(self, request, context):  # noqa: N802 - gRPC's name
        self._double.asked.append(request)
        if not request.number:
            return scores.VersionsResponse(versions=self._double.versions)
        return scores.VersionsResponse(versions=[self._known(request.number, context)])

    def Propose(self, request, context):  # noqa: N802 - gRPC's name
        self._double.asked.append(request)
        made = scores.RouterVersion(number=3, made_unix_nano=NOW_NS, digest=DIGEST)
        made.verdict, made.reason = "undecided", "the log is worth 3 calls"
        return made

    def Activate(self, request, context):  # noqa: N802 - gRPC's name
        self._double.asked.append(request)
        return self._known(request.number, context)

    def RollBack(self, request, context):  # noqa: N802 - gRPC's name
        self._double.asked.append(request)
        return self._known(2, context)

    def Diff(self, request, context):  # noqa: N802 - gRPC's name
        self._double.asked.append(request)
        same = request.old_number == request.new_number != 0
        return scores.DiffVersionsResponse(differences=[] if same else DIFFERENCES)

    def Settings(self, request, context):  # noqa: N802 - gRPC's name
        self._double.asked.append(request)
        if request.HasField("put"):
            self._double.settings = request.put
        return scores.SettingsResponse(settings=self._double.settings)

    def _known(self, number, context):
        found = [one for one in self._double.versions if one.number == number]
        if not found:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no router version {number}")
        made = scores.RouterVersion()
        made.CopyFrom(found[0])
        made.goals.add(goal="extract", arms=[arm_score("large", 80, 20)], digest=DIGEST)
        return made


@contextmanager
def learning_double(**fields: object) -> Iterator[Double]:
    """Serve it on a port of this machine."""
    double = Double(**fields)
    server = grpc.server(ThreadPoolExecutor(4))
    signals_pb2_grpc.add_SignalServiceServicer_to_server(_Signals(double), server)
    scores_pb2_grpc.add_ScoreServiceServicer_to_server(_Scores(double), server)
    double.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield double
    finally:
        server.stop(None).wait()
