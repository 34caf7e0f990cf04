"""AdminService: takes records away for good, and tells who changed what."""

import json
from collections.abc import AsyncIterator, Callable

from remora.errors import BadRequest
from remora_aggregator.service.audit import AuditEntry
from remora_aggregator.service.audit_reading import MOST_ENTRIES, AuditQuestion, AuditReading
from remora_aggregator.service.caller import Caller, Callers
from remora_aggregator.service.grpc_errors import Context, errors_as_status
from remora_aggregator.service.permissions import Act
from remora_aggregator.store.purging import Doomed, Purged, Purging
from remora_proto.v1 import admin_pb2 as pb
from remora_proto.v1 import admin_pb2_grpc as pb_grpc

_MOST_NS = (1 << 63) - 1


class AdminService(pb_grpc.AdminServiceServicer):
    """Serves one store and one audit log, of which each admin sees its part."""

    def __init__(
        self,
        purging: Purging,
        audit: AuditReading,
        callers: Callers,
        *,
        count: Callable[[int], None],
    ) -> None:
        """Take the store, the audit log and who says who calls.

        Args:
            purging: Takes records away.
            audit: Reads what was done.
            callers: Say who calls.
            count: Told how many things the call at hand concerned, for the audit log.
        """
        self._purging = purging
        self._audit = audit
        self._callers = callers
        self._count = count

    async def Purge(  # noqa: N802 - gRPC's name
        self, request: pb.PurgeRequest, context: Context
    ) -> AsyncIterator[pb.PurgeResponse]:
        """Take records away, or count them."""
        async with errors_as_status(context):
            doomed = doomed_of(request, self._caller(context, Act.PURGE))
            self._count(0)
            if request.dry_run:
                yield _purge_response(doomed, await self._purging.count(doomed))
                return
            async for purged in self._purging.remove(doomed):
                self._count(purged.records + purged.tasks)
                yield _purge_response(doomed, purged)

    async def Audit(self, request: pb.AuditRequest, context: Context) -> pb.AuditResponse:  # noqa: N802 - gRPC's name
        """Tell who changed what."""
        async with errors_as_status(context):
            caller = self._caller(context, Act.READ_AUDIT)
            question = AuditQuestion(
                namespaces=caller.namespaces,
                limit=min(request.limit or MOST_ENTRIES, MOST_ENTRIES),
                since_unix_ns=request.since_unix_nano,
                until_unix_ns=request.until_unix_nano,
            )
            entries, more = await self._audit.newest(question)
            return pb.AuditResponse(entries=map(_entry_message, entries), more=more)
        raise AssertionError("the context ends the call")  # pragma: no cover

    def _caller(self, context: Context, act: Act) -> Caller:
        caller = self._callers.caller(context.invocation_metadata() or ())
        caller.must(act)
        return caller


def doomed_of(request: pb.PurgeRequest, caller: Caller) -> Doomed:
    """Read what is to go.

    Raises:
        BadRequest: It does not say, says what contradicts itself, or is of another namespace.
    """
    parts = {
        "session_id": bool(request.session_id),
        "task_id": bool(request.task_id),
        "before_unix_nano": bool(request.before_unix_nano),
    }
    if parts["session_id"] and parts["task_id"]:
        raise BadRequest("name a session or a task, not both: records of either would be meant")
    if request.whole_namespace == any(parts.values()):
        raise BadRequest(
            "say what is to go: a session, a task, what began before a time, or else "
            "whole_namespace alone"
        )
    return Doomed(
        namespace=caller.namespace_of(request.namespace),
        session_id=request.session_id,
        task_id=request.task_id,
        before_unix_ns=min(request.before_unix_nano, _MOST_NS),
    )


def _purge_response(doomed: Doomed, purged: Purged) -> pb.PurgeResponse:
    return pb.PurgeResponse(
        namespace=doomed.namespace,
        records=purged.records,
        tasks=purged.tasks,
        done=purged.is_done,
    )


def _entry_message(entry: AuditEntry) -> pb.AuditEntry:
    return pb.AuditEntry(
        at_unix_nano=entry.at_unix_ns,
        who=entry.name,
        role=entry.role,
        namespace=entry.namespace,
        peer=entry.peer,
        what=entry.what,
        asked=json.dumps(dict(entry.asked), ensure_ascii=False),
        outcome=entry.outcome,
        count=entry.count,
    )
