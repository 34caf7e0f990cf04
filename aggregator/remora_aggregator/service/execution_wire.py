"""Executions of workflows as they travel: what is taken, and what is asked for. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from remora.errors import BadRequest
from remora.execution_report import ExecutionStatus
from remora.execution_wire import status_of
from remora_aggregator.signals.names import id_of
from remora_aggregator.store.admission import is_money
from remora_aggregator.store.execution_selection import ExecutionSelection
from remora_proto.v1 import workflows_pb2 as pb

MOST_REPORTS: Final = 500
MOST_STEPS: Final = 1_000
MOST_NOTE_CHARS: Final = 500
NO_CODE: Final = "UNNAMED"
"""Stands for what was sent as the code of an error and is none."""

_MOST: Final = (1 << 63) - 1
_MOST_ID_CHARS: Final = 256
_EXECUTION_ID: Final = re.compile(r"[A-Za-z0-9][\w.:-]{0,127}", re.ASCII)
_CODE: Final = re.compile(r"[\w.:-]{0,64}", re.ASCII)
_STATUSES: Final = frozenset(pb.ExecutionStatus.values()) - {pb.EXECUTION_STATUS_UNSPECIFIED}


def checked_execution_id(execution_id: str) -> str:
    """Return an id that an execution may have; raises BadRequest where it may not."""
    if not _EXECUTION_ID.fullmatch(execution_id):
        raise BadRequest("execution_id is not 1 to 128 letters, digits and _.:-")
    return execution_id


def checked_report(report: pb.ExecutionReport) -> pb.ExecutionReport:
    """Return a report that can be kept; raises BadRequest where it never can."""
    checked_execution_id(report.execution_id)
    if report.status == pb.EXECUTION_STATUS_UNSPECIFIED or not report.revision:
        raise BadRequest("a report needs a status and a revision")
    if len(report.steps) > MOST_STEPS:
        raise BadRequest(f"{len(report.steps)} steps are more than {MOST_STEPS}")
    for name, text in _ids(report):
        id_of(text, name, _MOST_ID_CHARS)
    if report.owns_task and not report.task_id:
        raise BadRequest("owns_task needs task_id")
    _check_figures(report)
    _tidy(report)
    return report


def _ids(report: pb.ExecutionReport) -> Iterator[tuple[str, str]]:
    for name in ("task_id", "workflow", "workflow_digest", "session_id", "agent_id", "trace_id"):
        yield name, getattr(report, name)
    yield "failed_step", report.failed_step
    for step in report.steps:
        yield "step_id", step.step_id
        for one in step.depends_on:
            yield "depends_on", one
        for one in step.receipt_ids:
            yield "receipt_ids", one


def _tidy(report: pb.ExecutionReport) -> None:
    """Make texts fit to be kept that others chose: the last report of an execution comes once."""
    report.error_code = _code(report.error_code)
    report.downgraded[:] = [_plain(scope, _MOST_ID_CHARS) for scope in report.downgraded]
    for step in report.steps:
        step.error_code = _code(step.error_code)
        step.note = _plain(step.note, MOST_NOTE_CHARS)
        step.strategy = _plain(step.strategy, _MOST_ID_CHARS)
        step.tier = _plain(step.tier, _MOST_ID_CHARS)
        step.provider = _plain(step.provider, _MOST_ID_CHARS)
        step.model = _plain(step.model, _MOST_ID_CHARS)


def _code(text: str) -> str:
    """Return a code; what is none may be a message, which is not kept."""
    return text if _CODE.fullmatch(text) else NO_CODE


def _plain(text: str, most_chars: int) -> str:
    return "".join(one if one.isprintable() else "\ufffd" for one in text[:most_chars])


def _check_figures(report: pb.ExecutionReport) -> None:
    budget = report.budget
    money = [report.known_cost_usd, report.estimate_most_usd, budget.max_cost_usd]
    if not all(map(is_money, [*money, *(step.known_cost_usd for step in report.steps)])):
        raise BadRequest("a cost is no decimal amount of dollars")
    figures = [
        report.revision, report.began_unix_nano, report.ended_unix_nano, report.tokens,
        report.latency_ms, budget.max_tokens, budget.max_latency_ms,
    ]  # fmt: skip
    for step in report.steps:
        figures += (step.latency_ms, step.tokens)
    if max(figures) > _MOST:
        raise BadRequest("a figure is out of range")


def selection_of(
    wanted: pb.ExecutionFilter, namespaces: frozenset[str] | None
) -> ExecutionSelection:
    """Read a filter for a caller that may see these namespaces.

    Raises:
        BadRequest: It asks for what can't be.
    """
    if unknown := set(wanted.statuses) - _STATUSES:
        raise BadRequest(f"status {min(unknown)} is none that this aggregator knows")
    return ExecutionSelection(
        namespaces=frozenset({wanted.namespace}) if wanted.namespace else namespaces,
        statuses=frozenset(map(status_of, wanted.statuses)),
        workflow=wanted.workflow,
        task_id=wanted.task_id,
        session_id=wanted.session_id,
        agent_id=wanted.agent_id,
        since_unix_ns=min(wanted.since_unix_nano, _MOST),
    )


def no_execution(namespace: str, execution_id: str) -> BadRequest:
    """Say that there is no such execution."""
    text = f"namespace {namespace!r} has no execution {execution_id!r}: nobody reported it"
    return BadRequest(text, status=404, code="no_execution")


STATUS_NAMES: Final[Mapping[str, ExecutionStatus]] = {
    status.value: status for status in ExecutionStatus if status is not ExecutionStatus.UNKNOWN
}
"""By which people ask for them."""
