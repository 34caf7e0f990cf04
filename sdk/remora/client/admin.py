"""What an admin does with an aggregator: take records away for good, see who changed what."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from remora.client.aggregator import AggregatorClient
from remora.client.target import AggregatorTarget
from remora_proto.v1 import admin_pb2 as pb
from remora_proto.v1 import admin_pb2_grpc as pb_grpc

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeScope:
    """What is to go: everything of one namespace that fits.

    Attributes:
        namespace: Empty: the caller's own.
        session_id: Records of this session; not together with `task_id`.
        task_id: Records of this task, and the task.
        before_unix_ns: Records of calls that began before, and tasks that nobody changed or called
            since; 0: whenever.
        whole_namespace: All; said on purpose where nothing else is.
    """

    namespace: str = ""
    session_id: str = ""
    task_id: str = ""
    before_unix_ns: int = 0
    whole_namespace: bool = False


@dataclass(frozen=True, slots=True)
class Purged:
    """How far a purge has come.

    Attributes:
        namespace: Where.
        records: How many are gone so far, or would go.
        tasks: How many are gone so far, or would go.
        is_done: Nothing is left.
    """

    namespace: str
    records: int
    tasks: int
    is_done: bool


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that somebody did, or was refused.

    Attributes:
        at_unix_ns: When it ended.
        who: Who it was.
        role: As what.
        namespace: The caller's own; empty: it has none.
        peer: Where it called from.
        what: Such as ``TaskService/Cancel``.
        asked: What was asked for, as names and values.
        outcome: ``OK``, or the status it ended with.
        count: How many things it concerned; None: nobody counted.
    """

    at_unix_ns: int
    who: str
    role: str
    namespace: str
    peer: str
    what: str
    asked: Mapping[str, object]
    outcome: str
    count: int | None


class AdminClient(AggregatorClient):
    """Asks one aggregator for what admins may do; others get a BadRequest of status 403."""

    def __init__(self, target: AggregatorTarget, *, page_size: int = _PAGE) -> None:
        """Open the channel; it is dialled by the first question.

        Raises:
            ConfigError: The address is none, or a file of the target can't be used.
        """
        super().__init__(target)
        self._page_size = page_size
        self._stub = pb_grpc.AdminServiceStub(self._channel)

    def count(self, scope: PurgeScope) -> Purged:
        """Count what a purge would take away."""
        (counted,) = self._purge(scope, dry_run=True)
        return counted

    def purge(self, scope: PurgeScope) -> Iterator[Purged]:
        """Take it away for good; yields how far that has come.

        It goes on for as long as that is read; what is gone stays gone.
        """
        return self._purge(scope, dry_run=False)

    def _purge(self, scope: PurgeScope, *, dry_run: bool) -> Iterator[Purged]:
        request = pb.PurgeRequest(
            namespace=scope.namespace,
            session_id=scope.session_id,
            task_id=scope.task_id,
            before_unix_nano=scope.before_unix_ns,
            whole_namespace=scope.whole_namespace,
            dry_run=dry_run,
        )
        for answer in self._stream(self._stub.Purge, request):
            yield Purged(answer.namespace, answer.records, answer.tasks, answer.done)

    def audit(
        self, *, limit: int | None = None, since_unix_ns: int = 0, until_unix_ns: int = 0
    ) -> Iterator[AuditEntry]:
        """Yield who changed what, the newest first: as far as the caller may see it.

        Args:
            limit: How many at most; None: all.
            since_unix_ns: What was done then or later.
            until_unix_ns: What was done before; 0: until now.
        """
        left = limit
        while left is None or left > 0:
            page = self._page_size if left is None else min(left, self._page_size)
            request = pb.AuditRequest(
                limit=page, since_unix_nano=since_unix_ns, until_unix_nano=until_unix_ns
            )
            answer = self._ask(self._stub.Audit, request)
            yield from map(_entry, answer.entries)
            if not answer.more or not answer.entries:
                return
            until_unix_ns = answer.entries[-1].at_unix_nano
            left = None if left is None else left - len(answer.entries)


def _entry(message: pb.AuditEntry) -> AuditEntry:
    asked = json.loads(message.asked or "{}")
    return AuditEntry(
        at_unix_ns=message.at_unix_nano,
        who=message.who,
        role=message.role,
        namespace=message.namespace,
        peer=message.peer,
        what=message.what,
        asked=asked if isinstance(asked, dict) else {},
        outcome=message.outcome,
        count=message.count if message.HasField("count") else None,
    )
