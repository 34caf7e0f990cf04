"""What policy wants to know of a call once it is recorded: what it used, and how fast it was."""

from remora.clock import Clock
from remora.records import Attempt, CallRecord
from remora_sidecar.engine.budgeting import Budgeting, Held, actual
from remora_sidecar.policy.failures import Failure, failure_of_status
from remora_sidecar.policy.latencies import Latencies

FAILURE_COUNTS_AS_S = 30.0
"""What a failed attempt is worth to `fastest`: else who never answers would stay unmeasured."""


class Finishing:
    """Takes the record of one call, or those of all turns of its connection."""

    def __init__(
        self, held: Held | None, budgeting: Budgeting, latencies: Latencies, clock: Clock
    ) -> None:
        """Take what the call holds, if it holds anything."""
        self._held = held
        self._budgeting = budgeting
        self._latencies = latencies
        self._clock = clock
        self._tokens = 0

    def call(self, record: CallRecord) -> None:
        """Take the record of the call itself."""
        self._time(record)
        if self._held is not None:
            self._budgeting.settle(self._held, actual(self._held, record))

    def turn(self, record: CallRecord) -> None:
        """Take the record of a turn, and charge what it used: the connection may last for hours."""
        self._time(record)
        if self._held is not None:
            used = actual(self._held, record)
            self._budgeting.charge(self._held, used)
            self._tokens += used.tokens

    def end(self) -> None:
        """Give back what the connection held beside its turns."""
        if self._held is not None:
            self._budgeting.let_go(self._held, self._tokens)

    def _time(self, record: CallRecord) -> None:
        """Measure who answered or failed; after a failed try nobody's time is known exactly."""
        now_s = self._clock.monotonic_s()
        for attempt in record.attempts:
            if _says_ill_of(attempt):
                model = attempt.model
                self._latencies.add(attempt.provider, model, FAILURE_COUNTS_AS_S, now_s)
        is_exact = len(record.attempts) <= 1 and not record.cached and record.error is None
        if record.ttft_s is not None and is_exact:
            self._latencies.add(record.provider, record.sent_model, record.ttft_s, now_s)


def _says_ill_of(attempt: Attempt) -> bool:
    """Tell whether an attempt failed, and not by the fault of its request.

    A kept connection that gave no answer may have been closed for its age alone.
    """
    if attempt.reused_connection and not attempt.status_code:
        return False
    if attempt.failure:
        return attempt.failure != Failure.REQUEST.value
    return failure_of_status(attempt.status_code) not in (None, Failure.REQUEST)
