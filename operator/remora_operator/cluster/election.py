"""Which replica leads: what to make of a Lease, and when. Pure.

No clock but one's own is believed. How old a Lease is counts from when it was first seen as it is
now, and one's own leadership from when the request that renewed it was sent. A holder stops before
its `renew_deadline_s` is over; others wait for the whole duration that it wrote. So as long as
clocks run about equally fast there are never two, whatever time they show.

Source: Lease of coordination.k8s.io/v1; the rules are those of client-go's `leaderelection`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from remora_operator.cluster.objects import Json


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long what lasts.

    Attributes:
        duration_s: For how long nobody else takes the Lease after it was renewed.
        renew_deadline_s: How long the holder goes on without having renewed it.
        retry_s: Between tries.
    """

    duration_s: int = 15
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0

    def __post_init__(self) -> None:
        """Refuse times with which two could lead."""
        if not 0 < self.retry_s < self.renew_deadline_s < self.duration_s:
            raise ValueError("retry < renew deadline < duration must hold")


def _field(name: str) -> Any:
    return Field(default=None, validation_alias=name, serialization_alias=name)


class LeaseSpec(BaseModel):
    """What a Lease says.

    Attributes:
        holder: Whose it is; empty: nobody's.
        duration_s: What its holder promised; None: nothing.
        acquired: When it became the holder's, by its clock.
        renewed: When it was renewed, by its clock.
        transitions: How often the holder changed.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    holder: str | None = _field("holderIdentity")
    duration_s: int | None = _field("leaseDurationSeconds")
    acquired: str | None = _field("acquireTime")
    renewed: str | None = _field("renewTime")
    transitions: int | None = _field("leaseTransitions")

    def to_json(self) -> Json:
        """Write it as the Lease's ``spec``."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Election:
    """What one replica knows of the Lease."""

    def __init__(self, identity: str, times: LeaseTimes) -> None:
        """Know nothing yet.

        Args:
            identity: Of this replica and no other.
            times: The same for all replicas, if they are wise.
        """
        self._identity = identity
        self._times = times
        self._seen: LeaseSpec | None = None
        self._seen_s = 0.0
        self._leads_until_s: float | None = None

    def is_leader(self, now_s: float) -> bool:
        """Tell whether this replica leads."""
        return self._leads_until_s is not None and now_s < self._leads_until_s

    @property
    def leads_until_s(self) -> float | None:
        """When leadership ends if nothing is done; None: it does not lead."""
        return self._leads_until_s

    def saw(self, spec: LeaseSpec | None, now_s: float) -> None:
        """Take note of the Lease as it is; None: there is none."""
        if spec != self._seen:
            self._seen, self._seen_s = spec, now_s
        if spec is None or spec.holder != self._identity:
            self._leads_until_s = None

    def may_take(self, now_s: float) -> bool:
        """Tell whether the Lease can be renewed, or taken from whoever had it."""
        if self._seen is None or not self._seen.holder or self._seen.holder == self._identity:
            return True
        duration_s = self._seen.duration_s or self._times.duration_s
        return now_s >= self._seen_s + duration_s

    def wish(self, now: datetime) -> LeaseSpec:
        """Return the Lease as this replica would write it.

        Args:
            now: An aware time, for people: nobody decides by it.
        """
        before, moment = self._seen or LeaseSpec(), _micro_time(now)
        is_mine = before.holder == self._identity
        transitions = before.transitions or 0
        return LeaseSpec(
            holder=self._identity,
            duration_s=self._times.duration_s,
            acquired=before.acquired if is_mine and before.acquired else moment,
            renewed=moment,
            transitions=transitions if is_mine or self._seen is None else transitions + 1,
        )

    def wrote(self, spec: LeaseSpec, sent_s: float, now_s: float) -> None:
        """Take note that the Lease is written.

        Args:
            spec: As it was written.
            sent_s: When the request was sent.
            now_s: When its answer came.
        """
        self._seen, self._seen_s = spec, now_s
        self._leads_until_s = sent_s + self._times.renew_deadline_s

    def release(self, now: datetime) -> LeaseSpec:
        """Stop leading; returns the Lease that lets the next one begin at once."""
        self._leads_until_s = None
        before = self._seen or LeaseSpec()
        return before.model_copy(
            update={"holder": "", "duration_s": 1, "renewed": _micro_time(now)}
        )

    def stand_down(self) -> None:
        """Stop leading: the deadline is over."""
        self._leads_until_s = None


def _micro_time(now: datetime) -> str:
    """Write a time as Kubernetes' MicroTime is."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
