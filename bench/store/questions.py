"""What questions cost against how many records there are, over gRPC."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import grpc

from bench.figure import Better, Figure, Target
from bench.store.filling import fill
from bench.store.reported import BEGIN_NS
from bench.store.servers import started_aggregator
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

_STORE = "records.db"
_DAY_NS = 24 * 3_600_000_000_000
_TIMES = 15

type Ask = Callable[[pb_grpc.RecordServiceStub], object]

_FILTERS: Mapping[str, Mapping[str, object]] = {
    "none": {},
    "session": {"session_id": "session-7-1"},
    "task": {"task_id": "task-7"},
    "provider": {"provider": "anthropic"},
    "model": {"model": "gpt-4o-mini"},
    "workload": {
        "conditions": [pb.Condition(field="origin.workload", operator=1, values=["triage"])]
    },
    "errors": {"outcome": pb.RecordFilter.OUTCOME_ERROR},
    "a day": {
        "since_unix_nano": BEGIN_NS + 40 * _DAY_NS,
        "until_unix_nano": BEGIN_NS + 41 * _DAY_NS,
    },
}


def _page(fields: Mapping[str, object]) -> Ask:
    request = pb.QueryRequest(
        filter=pb.RecordFilter(**fields),  # type: ignore[arg-type]  # as named
        order=pb.RECORD_ORDER_NEWEST_FIRST,
        limit=100,
        without_bodies=True,
        in_pages=True,
    )
    return lambda stub: list(stub.Query(request))


def _usage(**fields: object) -> Ask:
    request = pb.UsageRequest(**fields)  # type: ignore[arg-type]  # as named
    return lambda stub: stub.Usage(request)


_DAYS = {"since_unix_nano": BEGIN_NS + 9 * _DAY_NS + 5, "until_unix_nano": BEGIN_NS + 70 * _DAY_NS}

ASKED: Mapping[str, tuple[Ask, float]] = {
    "usage by model": (_usage(), 100.0),
    "usage by model with quantiles": (_usage(quantiles=[0.5, 0.99]), 100.0),
    "usage by model of 61 days": (_usage(filter=pb.RecordFilter(**_DAYS)), 100.0),
    "usage by session, the 20 largest": (
        _usage(group_by=[pb.USAGE_DIMENSION_SESSION], limit=20,
               filter=pb.RecordFilter(conditions=[pb.Condition(field="session_id", operator=9)])),
        20.0,
    ),
    "usage of a session": (_usage(filter=pb.RecordFilter(session_id="session-7-1")), 20.0),
    **{f"page of 100, filter: {name}": (_page(fields), 20.0) for name, fields in _FILTERS.items()},
}  # fmt: skip
"""What is asked, and how many milliseconds it may take with a million records."""


def questions(folder: Path, sizes: Sequence[int]) -> dict[int, dict[str, float]]:
    """Ask everything at each size; gives the median milliseconds."""
    found: dict[int, dict[str, float]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    before = 0
    for size in sizes:
        fill(folder / _STORE, size, begin=before)
        before = size
        with started_aggregator(folder) as aggregator, grpc.insecure_channel(
            aggregator.address
        ) as channel:  # fmt: skip
            stub = pb_grpc.RecordServiceStub(channel)
            found[size] = {name: _median_ms(ask, stub) for name, (ask, _) in ASKED.items()}
    return found


def _median_ms(ask: Ask, stub: pb_grpc.RecordServiceStub) -> float:
    ask(stub)
    taken = []
    for _ in range(_TIMES):
        begun = time.perf_counter()
        ask(stub)
        taken.append((time.perf_counter() - begun) * 1000)
    return median(taken)


def figures(found: Mapping[int, Mapping[str, float]], barred_size: int) -> list[Figure]:
    """Make figures of what was found; the bars are those of one size."""
    return [
        Figure(
            f"store_question_{name}",
            f"{name}, {barred_size:,} records",
            "ms",
            Target(Better.LESS, bar, unit=" ms"),
            values={"remora": found[barred_size][name]},
            verdict=found[barred_size][name],
            verdict_unit=" ms",
            note="; ".join(f"{size:,}: {each[name]:.1f} ms" for size, each in found.items()),
        )
        for name, (_, bar) in ASKED.items()
    ]
