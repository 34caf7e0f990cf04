"""What was reported, kept apart from every aggregator, and what a store has to say of it."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

import grpc
from bench.store.reported import BEGIN_NS, kinds

from remora.client.target import AggregatorTarget
from remora_proto.v1 import records_pb2 as pb
from remora_proto.v1 import records_pb2_grpc as pb_grpc

_DIMENSIONS = (pb.USAGE_DIMENSION_MODEL, pb.USAGE_DIMENSION_SESSION, pb.USAGE_DIMENSION_TASK)
_REVISED = 0.1


@dataclass(frozen=True, slots=True)
class Fact:
    """The part of a record that is compared; `groups` in the order of `_DIMENSIONS`."""

    pod_uid: str
    revision: int
    groups: tuple[str, str, str]
    input_tokens: int
    cost_usd: Decimal

    @classmethod
    def of(cls, record: pb.CallRecord, pod_uid: str) -> "Fact":
        """Read a record."""
        spent = record.attribution
        return cls(
            pod_uid,
            record.revision,
            (record.response_model, spent.session_id, spent.task_id),
            record.usage.input_tokens,
            Decimal(record.cost.total_usd),
        )


@dataclass(slots=True)
class Truth:
    """Every call that was made, in its last form.

    Attributes:
        calls: By their ids.
        made: How many records there were, revisions too.
        seen: What a follower saw: ids with revisions, and how often.
    """

    calls: dict[str, Fact] = field(default_factory=dict)
    made: int = 0
    seen: Counter[tuple[str, int]] = field(default_factory=Counter)

    def take(self, record: pb.CallRecord, pod_uid: str) -> None:
        """Note a record that is about to be reported."""
        self.made += 1
        known = self.calls.get(record.call_id)
        if known is None or known.revision < record.revision:
            self.calls[record.call_id] = Fact.of(record, pod_uid)

    def is_seen(self) -> bool:
        """Whether the last form of every call was seen."""
        return all((call_id, fact.revision) in self.seen for call_id, fact in self.calls.items())

    def sums(self, at: int) -> dict[str, tuple[int, int, Decimal]]:
        """Sum up by one dimension: calls, input tokens, cost."""
        found: dict[str, tuple[int, int, Decimal]] = {}
        for fact in self.calls.values():
            calls, tokens, cost = found.get(fact.groups[at], (0, 0, Decimal(0)))
            now = calls + 1, tokens + fact.input_tokens, cost + fact.cost_usd
            found[fact.groups[at]] = now
        return found


class Made:
    """Makes one pod's records: mostly new calls, some revisions of earlier ones."""

    def __init__(self, truth: Truth, number: int, *, bodies_bytes: int = 0) -> None:
        """Take whom to tell, and the pod's number."""
        self.pod_uid = f"pod-{number}"
        self._number = number
        self._truth = truth
        self._kinds = kinds(number, bodies_bytes=bodies_bytes)
        self._chance = random.Random(number)  # noqa: S311 - load, no secret
        self._recent: list[pb.CallRecord] = []
        self._count = 0

    def batch(self, count: int) -> list[bytes]:
        """Make so many records."""
        return [record.SerializeToString() for record in self._records(count)]

    def _records(self, count: int) -> Iterator[pb.CallRecord]:
        for _ in range(count):
            revise = bool(self._recent) and self._chance.random() < _REVISED
            record = self._revised() if revise else self._new()
            self._truth.take(record, self.pod_uid)
            yield record

    def _new(self) -> pb.CallRecord:
        record = pb.CallRecord.FromString(self._kinds[self._count % len(self._kinds)])
        record.call_id = f"{(self._number << 64) + self._count:032x}"
        record.started_unix_nano = BEGIN_NS + self._count * 1_000_000_000
        self._count += 1
        self._recent = [*self._recent[-50:], record]
        return record

    def _revised(self) -> pb.CallRecord:
        earlier = self._chance.choice(self._recent)
        earlier.revision += 1
        earlier.cost.total_usd = f"{Decimal(earlier.cost.total_usd) + Decimal('0.001'):f}"
        earlier.usage.input_tokens += 7
        return earlier


async def check(address: str, truth: Truth) -> None:
    """Compare everything a store says with what was reported: records, and totals three ways."""
    async with AggregatorTarget(address).aio_channel() as channel:
        stub = pb_grpc.RecordServiceStub(channel)
        await _check_records(stub, truth)
        for at, dimension in enumerate(_DIMENSIONS):
            answer = await stub.Usage(pb.UsageRequest(group_by=[dimension]))
            said = {
                row.keys[0]: (row.calls, row.input_tokens, Decimal(row.cost_usd))
                for row in answer.rows
            }
            assert said == truth.sums(at)


async def _check_records(stub: "pb_grpc.RecordServiceAsyncStub", truth: Truth) -> None:
    found: Counter[str] = Counter()
    wrong, positions = [], []
    call = stub.Query(pb.QueryRequest(without_bodies=True))
    while (answer := await call.read()) is not grpc.aio.EOF:
        stored = answer.stored
        found[stored.record.call_id] += 1
        positions.append(stored.cursor)
        if truth.calls.get(stored.record.call_id) != Fact.of(stored.record, stored.pod_uid):
            wrong.append(stored.record.call_id)
    assert [call_id for call_id, times in found.items() if times > 1] == [], "stored twice"
    assert sorted(truth.calls.keys() - found.keys()) == [], "acknowledged, and not stored"
    assert wrong == [], "stored in another form than the last that was acknowledged"
    assert len(set(positions)) == len(positions)


def check_seen(truth: Truth) -> None:
    """A follower saw the last form of each call, and nothing twice."""
    assert [what for what, times in truth.seen.items() if times > 1] == []
    assert truth.is_seen()
