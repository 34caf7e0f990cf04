"""Between a run's steps and whoever asks models: calls that wait, calls in flight, their time.

A call is placed by a step. It is asked once its budgets have room for it and the run is not
held, and each one that is asked comes to exactly one end: an answer, a failure, or `Abandon` and
then `Closed`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from remora_sidecar.workflows.admission import Admission, Admitted, Candidacy, Refused, Waiting
from remora_sidecar.workflows.amounts import Bill
from remora_sidecar.workflows.commands import Abandon, Ask, Command, Wait
from remora_sidecar.workflows.envelope import Envelope, Reservation
from remora_sidecar.workflows.inputs import Failed
from remora_sidecar.workflows.instance import Request
from remora_sidecar.workflows.question import Question
from remora_sidecar.workflows.saved import CallIntended, CallSettled, Entry, Failure

TIMEOUT: Final = "timeout"
ABANDONED: Final = "abandoned"
OK: Final = "ok"


@dataclass(slots=True)
class _Flight:
    """A call that is being asked."""

    candidacy: Candidacy
    question: Question
    reservation: Reservation
    timer: str | None
    is_abandoned: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that is not made, or came to nothing: its step has to hear of it.

    Attributes:
        request: What was wanted.
        failure: Why.
        may_retry: Whether another try may help.
        scopes: Whose budgets block it.
    """

    request: Request
    failure: Failure
    may_retry: bool = False
    scopes: frozenset[str] = frozenset()


class Desk:
    """The calls of one run."""

    def __init__(
        self,
        admission: Admission,
        do: Callable[[Command], None],
        save: Callable[[Entry], None],
    ) -> None:
        """Take who decides on calls, and where commands and entries go."""
        self._admission = admission
        self._do = do
        self._save = save
        self._queue: dict[str, Candidacy] = {}
        self._flights: dict[str, _Flight] = {}
        self._askings: dict[str, str] = {}
        self._timers: dict[str, str] = {}
        self._closing: Failure | None = None
        self._is_held = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and no call is in flight."""
        return not self._queue and not self._flights

    def open_calls(self, step_id: str) -> int:
        """Count a step's calls whose bills are not in."""
        flights = self._flights.values()
        return sum(flight.question.step_id == step_id for flight in flights)

    def place(self, request: Request, envelope: Envelope) -> None:
        """Take a call; `pump` asks it when it may be asked."""
        self._queue[request.key] = Candidacy(request, envelope)

    def let_go(self, key: str) -> None:
        """Drop a call that waits, abandon one in flight."""
        self._queue.pop(key, None)
        asking = self._askings.pop(key, None)
        if asking is not None:
            self._abandon(asking)

    def hold(self) -> None:
        """Let calls wait until `go_on`."""
        self._is_held = True

    def go_on(self) -> None:
        """Ask again, and for calls that waited choose models anew: time has passed."""
        self._is_held = False
        for candidacy in self._queue.values():
            candidacy.forget()

    def shut(self, failure: Failure) -> None:
        """Refuse every call from now on; those in flight go on."""
        self._closing = failure

    def pump(self, now_ms: int) -> Iterator[Refusal]:
        """Ask what may be asked; gives what is refused, for which its step may place more."""
        if self._is_held and self._closing is None:
            return
        for key in list(self._queue):
            candidacy = self._queue.get(key)
            if candidacy is None:
                continue
            if self._closing is not None:
                del self._queue[key]
                yield Refusal(candidacy.request, self._closing)
                continue
            ruling = self._admission.rule(candidacy, now_ms)
            match ruling:
                case Admitted():
                    del self._queue[key]
                    self._ask(candidacy, ruling)
                case Refused():
                    del self._queue[key]
                    yield _refusal(candidacy, ruling)
                case Waiting():
                    pass

    def answered(self, key: str, bill: Bill) -> Request | None:
        """Settle a call; gives what was wanted, None if nobody needs it any more."""
        flight = self._land(key, bill, OK)
        return None if flight is None else flight.candidacy.request

    def failed(self, failed: Failed) -> Refusal | None:
        """Settle a call that failed; None if it is moved to another model, or not needed."""
        flight = self._land(failed.key, failed.bill, failed.code)
        if flight is None:
            return None
        failure = Failure(failed.code, failed.message)
        candidacy = flight.candidacy
        if failed.may_move and candidacy.request.rank is None:
            tried = (*candidacy.tried, flight.question.target.name)
            moved = replace(candidacy, tried=tried, last=failure, may_retry=failed.may_retry)
            self._queue = {candidacy.request.key: moved, **self._queue}
            return None
        return Refusal(candidacy.request, failure, failed.may_retry)

    def held(self, key: str) -> None:
        """Put a call back that was refused since its task is paused."""
        flight = self._land(key, None, "held")
        if flight is not None:
            again = replace(flight.candidacy, held=flight.candidacy.held + 1)
            self._queue = {again.request.key: again, **self._queue}

    def closed(self, key: str, bill: Bill | None) -> None:
        """Settle a call that was abandoned."""
        self._land(key, bill, ABANDONED)

    def fired(self, timer: str) -> Refusal | None:
        """Give up a call whose time is over; None if it is over already."""
        key = self._timers.pop(timer, None)
        flight = self._flights.get(key or "")
        if key is None or flight is None:
            return None
        flight.timer = None
        self._askings.pop(flight.candidacy.request.key, None)
        self._abandon(key)
        said = f"no answer within {flight.question.timeout_ms} ms"
        return Refusal(flight.candidacy.request, Failure(TIMEOUT, said), may_retry=True)

    def _ask(self, candidacy: Candidacy, admitted: Admitted) -> None:
        request, question = candidacy.request, admitted.question
        key = candidacy.asking_key
        timer = None if question.timeout_ms is None else f"{key}!"
        self._flights[key] = _Flight(candidacy, question, admitted.reservation, timer)
        self._askings[request.key] = key
        self._save(
            CallIntended(
                key=key,
                step_id=question.step_id,
                item=question.item,
                purpose=question.purpose,
                provider=question.target.provider,
                model=question.target.model,
                cost_usd=question.estimate.cost_usd,
                tokens=question.estimate.tokens,
            )
        )
        self._do(Ask(key, question))
        if timer is not None and question.timeout_ms is not None:
            self._timers[timer] = key
            self._do(Wait(timer, question.timeout_ms, since=key))

    def _abandon(self, key: str) -> None:
        flight = self._flights[key]
        flight.is_abandoned = True
        self._stop_timer(flight)
        self._do(Abandon(key))

    def _stop_timer(self, flight: _Flight) -> None:
        if flight.timer is not None:
            del self._timers[flight.timer]
            self._do(Abandon(flight.timer))
            flight.timer = None

    def _land(self, key: str, bill: Bill | None, code: str) -> _Flight | None:
        """Settle a call; gives it if somebody still needs it."""
        flight = self._flights.pop(key, None)
        if flight is None:
            return None
        self._stop_timer(flight)
        if bill is None:
            flight.reservation.release()
        else:
            flight.reservation.settle(bill)
        self._save(CallSettled(key, bill, ABANDONED if flight.is_abandoned else code))
        if flight.is_abandoned:
            return None
        del self._askings[flight.candidacy.request.key]
        return flight


def _refusal(candidacy: Candidacy, refused: Refused) -> Refusal:
    """Say why a call is not made; of one that can't be moved, why it had to be."""
    if candidacy.last is not None:
        return Refusal(candidacy.request, candidacy.last, candidacy.may_retry)
    return Refusal(candidacy.request, refused.failure, scopes=refused.scopes)
