"""What a sidecar says of itself on its stream of reports, stamped with whose it is. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from remora_aggregator.store.facts import Stamp
from remora_proto.v1 import records_pb2 as pb

_MAX_CHARS: Final = 256
_MOST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in a sidecar's spool.

    Attributes:
        records: Not acknowledged yet.
        bytes: The room that they take; None: it did not say.
        limit_bytes: The bound of the spool; None as before.
    """

    records: int
    bytes: int | None
    limit_bytes: int | None


@dataclass(frozen=True, slots=True)
class SidecarNews:
    """What a sidecar said of itself.

    Attributes:
        heard_unix_ns: When that came.
        version: Of its greeting; empty: none, or a message after it.
        pod_name: As `version`, and so the next two.
        waiting: In its spool; None: it said nothing of that.
        policy: The name and version of the one in force; None: it said nothing of that.
    """

    namespace: str
    pod_uid: str
    heard_unix_ns: int
    clock_skew_s: float | None
    version: str = ""
    pod_name: str = ""
    workload: str = ""
    node: str = ""
    waiting: Waiting | None = None
    policy: tuple[str, str] | None = None


type HearNews = Callable[[SidecarNews], None]


def nobody_listens(news: SidecarNews) -> None:
    """Pass over what sidecars say of themselves."""
    del news


def news_in(request: pb.ReportRequest, stamp: Stamp) -> SidecarNews | None:
    """Read what a message says of its sender; None: nothing beside its records."""
    if not (request.HasField("hello") or request.HasField("state")):
        return None
    hello, state = request.hello, request.state
    return SidecarNews(
        stamp.namespace, stamp.pod_uid, stamp.received_unix_ns, stamp.clock_skew_s,
        hello.sidecar_version[:_MAX_CHARS], hello.pod_name[:_MAX_CHARS],
        hello.workload[:_MAX_CHARS], hello.node[:_MAX_CHARS],
        _waiting(state), _policy(state),
    )  # fmt: skip


def _waiting(state: pb.SidecarState) -> Waiting | None:
    if not state.HasField("waiting_records"):
        return None
    return Waiting(
        min(state.waiting_records, _MOST),
        min(state.waiting_bytes, _MOST) if state.HasField("waiting_bytes") else None,
        min(state.limit_bytes, _MOST) if state.HasField("limit_bytes") else None,
    )


def _policy(state: pb.SidecarState) -> tuple[str, str] | None:
    if not state.HasField("policy_version"):
        return None
    return state.policy[:_MAX_CHARS], state.policy_version[:_MAX_CHARS]
