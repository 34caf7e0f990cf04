"""The calls of tasks that are remembered, a bounded number: what was counted, and receipts."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from remora.records import CallRecord
from remora_sidecar.tasks.sums import Sums, figures_of

MAX_COUNTED: Final = 20_000
"""Calls whose later revisions are told from calls of their own: twice what the engine revises."""

MAX_RECORDS: Final = 5_000
"""That are kept for their receipts, of all tasks together."""

MAX_RECORDS_OF_TASK: Final = 2_000


class Counted(NamedTuple):
    """A call as it was counted."""

    revision: int
    figures: Sums


class Logged(NamedTuple):
    """A call's record, without bodies.

    Attributes:
        number: In the order in which calls were recorded first; a revision keeps its call's.
    """

    number: int
    record: CallRecord


class CallLog:
    """Remembers what was counted, and the newest records."""

    def __init__(
        self,
        *,
        max_counted: int = MAX_COUNTED,
        max_records: int = MAX_RECORDS,
        max_of_task: int = MAX_RECORDS_OF_TASK,
    ) -> None:
        """Remember nothing yet."""
        self._max_counted, self._max_records = max_counted, max_records
        self._max_of_task = max_of_task
        self._counted: OrderedDict[str, Counted] = OrderedDict()
        self._of_call: OrderedDict[str, str] = OrderedDict()
        self._of_task: dict[str, dict[str, Logged]] = {}
        self._last = 0

    def take(self, record: CallRecord) -> tuple[Sums, Sums | None] | None:
        """Remember a record.

        Returns:
            Its figures, and those to be counted no more; None where it says nothing new.
        """
        before = self._counted.get(record.call_id)
        if before is not None and before.revision >= record.revision:
            return None
        figures = figures_of(record)
        self._counted[record.call_id] = Counted(record.revision, figures)
        if len(self._counted) > self._max_counted:
            self._counted.popitem(last=False)
        self._keep(record)
        return figures, None if before is None else before.figures

    def records(self, task_id: str, after: int, limit: int) -> Sequence[Logged]:
        """Give the records of a task, oldest first, from behind a number on."""
        calls = self._of_task.get(task_id, {}).values()
        return [logged for logged in calls if logged.number > after][:limit]

    def forget(self, task_id: str) -> None:
        """Keep no receipts of a task any more."""
        for call_id in self._of_task.pop(task_id, ()):
            del self._of_call[call_id]

    def _keep(self, record: CallRecord) -> None:
        task_id, call_id = record.attribution.task_id, record.call_id
        calls = self._of_task.setdefault(task_id, {})
        known = calls.get(call_id)
        self._last += known is None
        if record.request_body is not None or record.response_body is not None:
            record = replace(record, request_body=None, response_body=None)
        calls[call_id] = Logged(self._last if known is None else known.number, record)
        self._of_call[call_id] = task_id
        if len(calls) > self._max_of_task:
            self._drop(next(iter(calls)))
        elif len(self._of_call) > self._max_records:
            self._drop(next(iter(self._of_call)))

    def _drop(self, call_id: str) -> None:
        task_id = self._of_call.pop(call_id)
        calls = self._of_task[task_id]
        del calls[call_id]
        if not calls:
            del self._of_task[task_id]
