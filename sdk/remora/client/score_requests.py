"""Questions about scores in their wire form, for the clients with and without an event loop."""

from dataclasses import dataclass

from remora_proto.v1 import scores_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Calls that began in a span of time.

    Attributes:
        since_unix_ns: Then or later; 0: as the aggregator has it by default.
        until_unix_ns: Before; 0: now.
    """

    since_unix_ns: int = 0
    until_unix_ns: int = 0


EVER = Span()


def scores_request(namespace: str, goal: str, workload: str, window_s: int) -> pb.ScoresRequest:
    """Ask how goals do."""
    return pb.ScoresRequest(namespace=namespace, goal=goal, workload=workload, window_s=window_s)


def timeline_request(namespace: str, goal: str, span: Span, points: int) -> pb.TimelineRequest:
    """Ask how arms did over time."""
    return pb.TimelineRequest(
        namespace=namespace,
        goal=goal,
        since_unix_nano=span.since_unix_ns,
        until_unix_nano=span.until_unix_ns,
        points=points,
    )


def benchmarks_request(namespace: str, goal: str, span: Span) -> pb.BenchmarksRequest:
    """Ask what models were measured to do."""
    return pb.BenchmarksRequest(
        namespace=namespace,
        goal=goal,
        since_unix_nano=span.since_unix_ns,
        until_unix_nano=span.until_unix_ns,
    )


def log_request(namespace: str, goal: str, span: Span, limit: int | None) -> pb.LogRequest:
    """Ask for decisions."""
    return pb.LogRequest(
        namespace=namespace,
        goal=goal,
        since_unix_nano=span.since_unix_ns,
        until_unix_nano=span.until_unix_ns,
        limit=limit or 0,
    )
