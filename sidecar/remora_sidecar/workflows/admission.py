"""Whether a call may be made now, and by whom: the choice of a model within the budgets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from remora.workflows.sizes import latency_ms
from remora_sidecar.workflows.amounts import Load
from remora_sidecar.workflows.envelope import Envelope, Overrun, Reservation, Verdict, strictest
from remora_sidecar.workflows.instance import Request
from remora_sidecar.workflows.prompts import Sizes, answer_tokens
from remora_sidecar.workflows.question import Choose, ModelWish, Question, Target, parameters_of
from remora_sidecar.workflows.saved import BUDGET_EXCEEDED, Failure

NO_MODEL: Final = "no_model"
_DEAREST: Final = Decimal("Infinity")
MAX_TARGETS: Final = 3
"""Models that one call may be moved to, one after another, if they can't be reached."""


@dataclass
class Candidacy:
    """A call that is to be made, and what is known of it so far.

    Attributes:
        request: What is wanted.
        envelope: The budget of its step.
        tried: Models that could not be reached.
        last: Why the last of them could not.
        may_retry: Whether another try of the step may help after `last`.
        held: How often it was put back since its task was paused.
    """

    request: Request
    envelope: Envelope
    tried: tuple[str, ...] = ()
    last: Failure | None = None
    may_retry: bool = False
    held: int = 0
    _wishes: dict[bool, tuple[ModelWish, Sequence[Target]]] = field(default_factory=dict)

    @property
    def asking_key(self) -> str:
        """Names this asking of the call: one more each time that it is moved or put back."""
        again = len(self.tried) + self.held
        return f"{self.request.key}+{again}" if again else self.request.key

    def wish(
        self, choose: Choose, sizes: Sizes, *, downgraded: bool
    ) -> tuple[ModelWish, Sequence[Target]]:
        """Return what kind of model is wanted, and who fits; models are chosen once."""
        known = self._wishes.get(downgraded)
        if known is None:
            request = self.request
            wish = ModelWish(
                step=request.step.step,
                role=request.role,
                purpose=request.purpose,
                downgraded=downgraded,
                input_tokens=sizes.of(request.messages, request.form),
                output_tokens=answer_tokens(request.step, request.purpose),
            )
            known = self._wishes[downgraded] = (wish, tuple(choose(wish)))
        return known

    def forget(self) -> None:
        """Choose anew when next asked."""
        self._wishes.clear()

    def targets(self, choose: Choose, sizes: Sizes, *, downgraded: bool) -> Sequence[Target]:
        """Return who may be asked now, best first."""
        _, targets = self.wish(choose, sizes, downgraded=downgraded)
        if self.request.rank is not None:
            targets = _of_place(targets, self.request, downgraded=downgraded)
        left = [target for target in targets if target.name not in self.tried]
        return left if len(self.tried) < MAX_TARGETS else ()


@dataclass(frozen=True, slots=True)
class Admitted:
    """The call may be made; what it may take is reserved."""

    question: Question
    reservation: Reservation


@dataclass(frozen=True, slots=True)
class Waiting:
    """It may fit once calls in flight are settled."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not made.

    Attributes:
        failure: Why.
        scopes: Whose budgets block it; empty: it is not for a budget.
    """

    failure: Failure
    scopes: frozenset[str] = frozenset()


type Ruling = Admitted | Waiting | Refused

type Note = Callable[[Verdict, Overrun, str], None]
"""Gets ``WARN`` and ``DOWNGRADE``, the limit that was met, and the step whose call met it."""


class Admission:
    """Decides on the calls of one run.

    Attributes:
        downgraded: Scopes whose budget asks for cheaper models from now on.
        warned: Limits that were warned of.
    """

    def __init__(self, choose: Choose, note: Note) -> None:
        """Take who knows the models, and who wants to hear of budgets."""
        self._choose = choose
        self._sizes = Sizes()
        self._note = note
        self.downgraded: set[str] = set()
        self.warned: set[tuple[str, str]] = set()

    def rule(self, candidacy: Candidacy, now_ms: int) -> Ruling:
        """Decide on a call; an admitted one has its reservation."""
        if self._is_downgraded(candidacy.envelope):
            return self._cheapest(candidacy, now_ms)
        targets = candidacy.targets(self._choose, self._sizes, downgraded=False)
        if not targets:
            return _nobody(candidacy)
        load = self._load(candidacy, targets[0], downgraded=False)
        overruns = candidacy.envelope.overruns(load, now_ms)
        match strictest(overruns):
            case Verdict.GO | Verdict.WARN:
                return self._admitted(candidacy, targets[0], load, overruns, downgraded=False)
            case Verdict.WAIT:
                return Waiting()
            case Verdict.DOWNGRADE:
                self._downgrade(candidacy, overruns)
                return self._cheapest(candidacy, now_ms)
            case Verdict.BLOCK:
                return _blocked(overruns)

    def warn(self, overrun: Overrun, step_id: str = "") -> None:
        """Say once that a limit is passed."""
        known = (overrun.scope, overrun.limit)
        if known not in self.warned:
            self.warned.add(known)
            self._note(Verdict.WARN, overrun, step_id)

    def _is_downgraded(self, envelope: Envelope) -> bool:
        return any(around.scope in self.downgraded for around in envelope.chain())

    def _downgrade(self, candidacy: Candidacy, overruns: Sequence[Overrun]) -> None:
        for overrun in overruns:
            if overrun.verdict is Verdict.DOWNGRADE and overrun.scope not in self.downgraded:
                self.downgraded.add(overrun.scope)
                self._note(Verdict.DOWNGRADE, overrun, candidacy.request.step_id)

    def _cheapest(self, candidacy: Candidacy, now_ms: int) -> Ruling:
        """Admit the first that fits; if all are too slow by assumed speeds, that is let pass."""
        targets = candidacy.targets(self._choose, self._sizes, downgraded=True)
        if not targets:
            return _nobody(candidacy)
        rejected: list[tuple[Decimal, tuple[Overrun, ...]]] = []
        for speeds_count in (True, False):
            for target in targets:
                load = self._load(candidacy, target, downgraded=True)
                overruns = candidacy.envelope.overruns(load, now_ms)
                if strictest(_counted(overruns, speeds_count)) <= Verdict.WARN:
                    return self._admitted(candidacy, target, load, overruns, downgraded=True)
                cost = _DEAREST if load.cost_usd is None else load.cost_usd
                rejected.append((cost, overruns))
        if any(o.verdict is Verdict.WAIT for _, overruns in rejected for o in overruns):
            return Waiting()
        return _blocked(min(rejected, key=lambda entry: entry[0])[1])

    def _load(self, candidacy: Candidacy, target: Target, *, downgraded: bool) -> Load:
        wish, _ = candidacy.wish(self._choose, self._sizes, downgraded=downgraded)
        written = wish.output_tokens + target.thought_tokens
        price = target.price
        return Load(
            cost_usd=None if price is None else price.cost_usd(wish.input_tokens, written),
            tokens=wish.input_tokens + written,
            latency_ms=latency_ms(target.tier, written),
        )

    def _admitted(
        self,
        candidacy: Candidacy,
        target: Target,
        load: Load,
        overruns: Sequence[Overrun],
        *,
        downgraded: bool,
    ) -> Admitted:
        request = candidacy.request
        for overrun in overruns:
            if overrun.verdict is Verdict.WARN:
                self.warn(overrun, request.step_id)
        wish, _ = candidacy.wish(self._choose, self._sizes, downgraded=downgraded)
        step = request.step.step
        question = Question(
            step_id=request.step_id,
            item=request.item,
            attempt=request.attempt,
            wish=wish,
            target=target,
            messages=request.messages,
            form=request.form,
            max_tokens=wish.output_tokens + target.thought_tokens,
            estimate=load,
            timeout_ms=None if step.timeout is None else step.timeout.milliseconds,
            parameters={} if request.purpose == "judge" else parameters_of(step),
        )
        return Admitted(question, candidacy.envelope.reserve(load))


def _of_place(targets: Sequence[Target], request: Request, *, downgraded: bool) -> Sequence[Target]:
    """Return the models of one place of a race; one that is named is asked as often as needed.

    Among cheaper models each place has several to look through, and none of another place's.
    """
    rank = request.rank or 0
    if request.role.model is not None and targets:
        rank %= len(targets)
    elif downgraded:
        return targets[rank :: request.step.step.strategy.racers]
    return targets[rank : rank + 1]


def _counted(overruns: Sequence[Overrun], speeds_count: bool) -> tuple[Overrun, ...]:
    if speeds_count:
        return tuple(overruns)
    return tuple(
        overrun
        for overrun in overruns
        if overrun.limit != "max_latency_ms" or overrun.verdict is not Verdict.DOWNGRADE
    )


def _nobody(candidacy: Candidacy) -> Refused:
    request = candidacy.request
    wanted = request.role.model or f"tier {request.role.tier}"
    said = f"no model fits what the step asks for to {request.purpose} ({wanted})"
    return Refused(Failure(NO_MODEL, said))


def _blocked(overruns: Sequence[Overrun]) -> Refused:
    """Refuse for a budget; where cheaper models did not fit either, it blocks as well."""
    worst = [o for o in overruns if o.verdict in (Verdict.BLOCK, Verdict.DOWNGRADE)]
    said = "; ".join(dict.fromkeys(map(str, worst)))
    scopes = frozenset(overrun.scope for overrun in worst)
    return Refused(Failure(BUDGET_EXCEEDED, said), scopes)
