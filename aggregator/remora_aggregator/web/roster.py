"""Which sidecars were heard of lately, by the records that they reported. No I/O."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from remora_aggregator.store.committing import Batch
from remora_proto.v1 import records_pb2 as pb

LATELY_NS: Final = 24 * 3600 * 10**9
MOST_SIDECARS: Final = 20_000
"""How many are known at once; those that reported longest ago are forgotten first."""
_MOST_POLICIES: Final = 3
_NS: Final = 1_000_000_000


class SidecarKey(NamedTuple):
    """Whose sidecar it is, as the server stamped it."""

    namespace: str
    pod_uid: str


class PolicySeen(NamedTuple):
    """A policy that a record's receipt names."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A sidecar, as its last record says.

    Attributes:
        received_unix_ns: When that came.
        delay_s: How long after the call's end it came, by both clocks: a spool that fills.
        clock_skew_s: How far its clock was ahead; None where it did not say.
        policies: In force over its last records, the newest first.
    """

    key: SidecarKey
    pod_name: str
    workload: str
    node: str
    version: str
    received_unix_ns: int
    delay_s: float
    clock_skew_s: float | None
    policies: tuple[PolicySeen, ...]


def sidecar_of(stored: pb.StoredRecord) -> Sidecar:
    """Read who reported a record."""
    record, skew_s = stored.record, None
    if stored.HasField("clock_skew_s"):
        skew_s = stored.clock_skew_s
    ended_ns = record.started_unix_nano + round(max(0.0, record.latency_s) * _NS)
    ahead_ns = round((skew_s or 0.0) * _NS)
    delay_ns = stored.received_unix_nano - (ended_ns - ahead_ns)
    origin, receipt = record.origin, record.receipt
    policy = PolicySeen(receipt.policy, receipt.policy_version)
    return Sidecar(
        SidecarKey(stored.namespace, stored.pod_uid),
        origin.pod_name, origin.workload, origin.node, origin.sidecar_version,
        stored.received_unix_nano, max(0.0, delay_ns / _NS), skew_s,
        (policy,) if policy.version else (),
    )  # fmt: skip


class Roster:
    """All sidecars that were heard of lately."""

    def __init__(self, most: int = MOST_SIDECARS) -> None:
        """Know so many at most."""
        self._most = most
        # In the order in which they reported last.
        self._sidecars: OrderedDict[SidecarKey, Sidecar] = OrderedDict()

    def count_commit(self, batches: Sequence[Batch], took_s: float) -> None:
        """Take note of who reported; a `CommitWatcher`."""
        del took_s
        for batch in batches:
            if (stored := _last_stored(batch)) is not None:
                self.note(sidecar_of(stored))

    def note(self, seen: Sidecar) -> None:
        """Take note of a sidecar, unless it has reported since."""
        known = self._sidecars.get(seen.key)
        if known is not None:
            newer, older = (seen, known) if _is_newer(seen, known) else (known, seen)
            both = dict.fromkeys((*newer.policies, *older.policies))
            seen = replace(newer, policies=tuple(both)[:_MOST_POLICIES])
        self._sidecars[seen.key] = seen
        self._sidecars.move_to_end(seen.key)
        while len(self._sidecars) > self._most:
            self._sidecars.popitem(last=False)

    def lately(self, now_unix_ns: int, fits: Callable[[SidecarKey], bool]) -> list[Sidecar]:
        """List those that reported lately, the last first."""
        since = now_unix_ns - LATELY_NS
        found = [
            one
            for one in self._sidecars.values()
            if one.received_unix_ns >= since and fits(one.key)
        ]
        return sorted(found, key=lambda one: one.received_unix_ns, reverse=True)


def _is_newer(one: Sidecar, other: Sidecar) -> bool:
    return one.received_unix_ns >= other.received_unix_ns


def note_all(roster: Roster, records: Iterable[pb.StoredRecord]) -> None:
    """Take note of whoever reported these records."""
    for stored in records:
        roster.note(sidecar_of(stored))


def _last_stored(batch: Batch) -> pb.StoredRecord | None:
    """Give the last record of a batch that is stored, without its bodies."""
    stamp = batch.stamp
    for record, outcome in zip(reversed(batch.records), reversed(batch.outcomes), strict=True):
        if outcome.is_refused:
            continue
        return pb.StoredRecord(
            record=pb.CallRecord(
                origin=record.origin, receipt=record.receipt, latency_s=record.latency_s,
                started_unix_nano=record.started_unix_nano,
            ),
            namespace=stamp.namespace, pod_uid=stamp.pod_uid,
            received_unix_nano=stamp.received_unix_ns, clock_skew_s=stamp.clock_skew_s,
        )  # fmt: skip
    return None
