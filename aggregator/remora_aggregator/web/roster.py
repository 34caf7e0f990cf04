"""Which sidecars were heard of lately, by their records and what they say of themselves. No I/O."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from remora_aggregator.service.sidecar_news import SidecarNews, Waiting
from remora_aggregator.store.committing import Batch
from remora_aggregator.web.metrics import SidecarFigures
from remora_proto.v1 import records_pb2 as pb

LATELY_NS: Final = 24 * 3600 * 10**9
SILENT_NS: Final = 3 * 60 * 10**9
"""A sidecar that was not heard of for so long is taken to be gone, or cut off."""
MOST_SIDECARS: Final = 20_000
"""How many are known at once; those that reported longest ago are forgotten first."""
_MOST_POLICIES: Final = 3
_NS: Final = 1_000_000_000


class SidecarKey(NamedTuple):
    """Whose sidecar it is, as the server stamped it."""

    namespace: str
    pod_uid: str


class PolicySeen(NamedTuple):
    """A policy that a sidecar or a record's receipt names."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A sidecar, as it and its last record say.

    Attributes:
        seen_unix_ns: When it was heard of last.
        record_unix_ns: When its last record came; None: none is known.
        delay_s: How long after the call's end that came, by both clocks; None as before.
        clock_skew_s: How far its clock was ahead; None where it did not say.
        policies: In force now and over its last records, the newest first.
        waiting: In its spool; None: it does not say, as older ones do not.
        waiting_unix_ns: When it said so.
    """

    key: SidecarKey
    pod_name: str
    workload: str
    node: str
    version: str
    seen_unix_ns: int
    record_unix_ns: int | None
    delay_s: float | None
    clock_skew_s: float | None
    policies: tuple[PolicySeen, ...]
    waiting: Waiting | None = None
    waiting_unix_ns: int = 0


def said_by(news: SidecarNews) -> Sidecar:
    """Read what a sidecar says of itself."""
    return Sidecar(
        SidecarKey(news.namespace, news.pod_uid),
        news.pod_name, news.workload, news.node, news.version,
        news.heard_unix_ns, None, None, news.clock_skew_s,
        (PolicySeen(*news.policy),) if news.policy else (),
        news.waiting, news.heard_unix_ns if news.waiting else 0,
    )  # fmt: skip


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
        stored.received_unix_nano, stored.received_unix_nano, max(0.0, delay_ns / _NS), skew_s,
        (policy,) if policy.version else (),
    )  # fmt: skip


class Roster:
    """All sidecars that were heard of lately."""

    def __init__(self, most: int = MOST_SIDECARS) -> None:
        """Know so many at most."""
        self._most = most
        # In the order in which they reported last.
        self._sidecars: OrderedDict[SidecarKey, Sidecar] = OrderedDict()
        self._changed: set[SidecarKey] = set()

    def count_commit(self, batches: Sequence[Batch], took_s: float) -> None:
        """Take note of who reported; a `CommitWatcher`."""
        del took_s
        for batch in batches:
            if (stored := _last_stored(batch)) is not None:
                self.note(sidecar_of(stored))

    def hear(self, news: SidecarNews) -> None:
        """Take note of what a sidecar says of itself; a `HearNews`."""
        self.note(said_by(news))

    def note(self, seen: Sidecar, *, is_news: bool = True) -> None:
        """Take note of a sidecar, whichever of what is known of it is newer.

        Args:
            seen: What was heard of it.
            is_news: Whether others are to be told.
        """
        if is_news:
            self._changed.add(seen.key)
        known = self._sidecars.get(seen.key)
        if known is not None:
            seen = _joined(seen, known) if _is_newer(seen, known) else _joined(known, seen)
        self._sidecars[seen.key] = seen
        self._sidecars.move_to_end(seen.key)
        while len(self._sidecars) > self._most:
            gone, _ = self._sidecars.popitem(last=False)
            self._changed.discard(gone)

    def take_changed(self) -> list[Sidecar]:
        """Give those that are news since this was asked last."""
        changed = [self._sidecars[key] for key in self._changed]
        self._changed.clear()
        return changed

    def give_back(self, sidecars: Iterable[Sidecar]) -> None:
        """Keep as news what could not be told."""
        self._changed.update(one.key for one in sidecars if one.key in self._sidecars)

    def figures(self, now_unix_ns: int) -> SidecarFigures:
        """Sum up those that were heard of lately."""
        return figures_of(self.lately(now_unix_ns, _everybody), now_unix_ns)

    def lately(self, now_unix_ns: int, fits: Callable[[SidecarKey], bool]) -> list[Sidecar]:
        """List those that reported lately, the last first."""
        since = now_unix_ns - LATELY_NS
        found = [
            one for one in self._sidecars.values() if one.seen_unix_ns >= since and fits(one.key)
        ]
        return sorted(found, key=lambda one: one.seen_unix_ns, reverse=True)


def _everybody(key: SidecarKey) -> bool:
    del key
    return True


def _is_newer(one: Sidecar, other: Sidecar) -> bool:
    return one.seen_unix_ns >= other.seen_unix_ns


def _joined(newer: Sidecar, older: Sidecar) -> Sidecar:
    """Say of a sidecar what is newest, and of what the newer does not speak what the older does."""
    record = newer if _of_record(newer) >= _of_record(older) else older
    waiting = newer if newer.waiting_unix_ns >= older.waiting_unix_ns else older
    policies = dict.fromkeys((*newer.policies, *older.policies))
    return Sidecar(
        newer.key,
        newer.pod_name or older.pod_name, newer.workload or older.workload,
        newer.node or older.node, newer.version or older.version,
        newer.seen_unix_ns, record.record_unix_ns, record.delay_s,
        older.clock_skew_s if newer.clock_skew_s is None else newer.clock_skew_s,
        tuple(policies)[:_MOST_POLICIES], waiting.waiting, waiting.waiting_unix_ns,
    )  # fmt: skip


def _of_record(one: Sidecar) -> int:
    return -1 if one.record_unix_ns is None else one.record_unix_ns


def figures_of(sidecars: Iterable[Sidecar], now_unix_ns: int) -> SidecarFigures:
    """Sum up sidecars of the last day; what waits with those that fell silent does not count."""
    heard = list(sidecars)
    reporting = [one for one in heard if now_unix_ns - one.seen_unix_ns < SILENT_NS]
    waiting = [one.waiting for one in reporting if one.waiting is not None]
    return SidecarFigures(
        len(reporting),
        len(heard) - len(reporting),
        sum(one.records for one in waiting),
        sum(one.bytes or 0 for one in waiting),
    )


def note_all(roster: Roster, records: Iterable[pb.StoredRecord]) -> None:
    """Take note of whoever reported these records, which stand where all can read them."""
    for stored in records:
        roster.note(sidecar_of(stored), is_news=False)


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
