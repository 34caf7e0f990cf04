"""A request's body made fit to be kept while its provider is asked.

Redacting a long prompt takes a tenth of a second, in which the loop would serve nobody. What is
asked is known long before the record is due, so a thread has the time. Answers are shorter, and
known only as the record is due: they are redacted then.
"""

from concurrent.futures import Executor
from typing import Final

from remora.records import Body
from remora_sidecar.policy.redaction import Redactor

WORTH_A_THREAD_BYTES: Final = 4 * 1024
"""What is shorter takes less than two milliseconds."""


class RedactionAhead:
    """One body that is being redacted."""

    def __init__(self, worker: Executor, redactor: Redactor, body: Body, encoding: str) -> None:
        """Begin.

        Args:
            worker: Where it is done.
            redactor: What policy takes out.
            body: As captured.
            encoding: Its content-encoding; empty if it has none.
        """
        self._future = worker.submit(redactor.redacted, body, encoding)

    def body(self) -> Body | None:
        """Give the redacted body; None if it was not begun yet, and then it never will be.

        What is under way is waited for: that takes less than to begin anew.
        """
        return None if self._future.cancel() else self._future.result()
