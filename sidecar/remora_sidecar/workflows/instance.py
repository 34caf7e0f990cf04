"""One question of a step: the step itself, or one item of the list that it is mapped over.

It tries as often as the step says, with pauses between, mends one faulty answer, and ends.
"""

from dataclasses import dataclass
from typing import Any, Final

from remora.workflows.compiled import CompiledStep
from remora.workflows.estimate import Role
from remora.workflows.scope import Scope
from remora.workflows.templates import RenderError
from remora_sidecar.workflows.amounts import Bill
from remora_sidecar.workflows.prompts import VERDICT_FORM, conversation, form_of
from remora_sidecar.workflows.question import AnswerForm, Purpose, SentMessage
from remora_sidecar.workflows.race import Call, Faulty, Leave, Lost, Move, Race, Slot, Won
from remora_sidecar.workflows.reading import Expression, Reader, cel_expression
from remora_sidecar.workflows.saved import Failure
from remora_sidecar.workflows.strategies import Races

TEMPLATE: Final = "template"
MENDED: Final = "mended once"
CUT: Final = "cut at its longest length"


@dataclass(frozen=True)
class Request:
    """A call that a step wants made.

    Attributes:
        key: Names it within the run.
        step: The step.
        item: Place of the item; None without ``map``.
        attempt: Which try, from 1.
        purpose: What for.
        role: What kind of model is asked.
        rank: Which of those that fit, from 0; None: the best that can be reached.
        messages: What is sent.
        form: How the answer is wanted.
    """

    key: str
    step: CompiledStep
    item: int | None
    attempt: int
    purpose: Purpose
    role: Role
    rank: int | None
    messages: tuple[SentMessage, ...]
    form: AnswerForm

    @property
    def step_id(self) -> str:
        """Id of the step."""
        return self.step.step.id


@dataclass(frozen=True, slots=True)
class Place:
    """Make this call."""

    request: Request


@dataclass(frozen=True, slots=True)
class LetGo:
    """Nobody needs this call, or the end of this pause."""

    key: str


@dataclass(frozen=True, slots=True)
class Rest:
    """Say when so many milliseconds are over."""

    key: str
    step_id: str
    item: int | None
    delay_ms: int


@dataclass(frozen=True, slots=True)
class InstanceOver:
    """The question is settled.

    Attributes:
        item: Place of the item; None without ``map``.
        value: The answer: text, or the value of its JSON.
        failure: None: the answer stands.
        provider: Whose answer it is.
        model: Whose answer it is.
        note: How it came about, where there is something to say.
    """

    item: int | None
    value: Any = None
    failure: Failure | None = None
    provider: str = ""
    model: str = ""
    note: str = ""


type Act = Place | LetGo | Rest | InstanceOver


class Instance:
    """One question of a step."""

    def __init__(
        self,
        step: CompiledStep,
        scope: Scope,
        key: str,
        *,
        item: int | None = None,
        expression: Expression = cel_expression,
    ) -> None:
        """Prepare to ask.

        Args:
            step: What is asked.
            scope: What its templates may refer to.
            key: Names it within the run; keys of its calls begin with it.
            item: Place of the item; None without ``map``.
            expression: Compiles expressions of checks.
        """
        self._step = step
        self._scope = scope
        self._key = key
        self._item = item
        self._reader = Reader(step, scope.input, expression)
        self._attempt = 0
        self._has_mended = False
        self._rest_key: str | None = None
        self._failure = Failure("failed")
        self._answerers: dict[str, tuple[str, str]] = {}
        self._calls: dict[str, str] = {}
        self._race: Race | None = None

    def begin(self) -> list[Act]:
        """Ask for the first time."""
        try:
            messages = conversation(self._step, self._scope)
        except RenderError as error:
            return [InstanceOver(self._item, failure=Failure(TEMPLATE, str(error)))]
        self._races = Races(self._step, self._reader, messages)
        return self._try()

    def answered(self, key: str, text: str, bill: Bill, *, was_cut: bool) -> list[Act]:
        """Take the answer of a call; of one that no longer matters nothing follows."""
        name = self._calls.pop(key, None)
        if name is None or self._race is None:
            return []
        self._answerers[name] = (bill.provider, bill.model)
        return self._follow(self._race.answered(name, text, was_cut=was_cut))

    def failed(self, key: str, failure: Failure, *, may_retry: bool) -> list[Act]:
        """Take the failure of a call; of one that no longer matters nothing follows."""
        name = self._calls.pop(key, None)
        if name is None or self._race is None:
            return []
        return self._follow(self._race.failed(name, failure, may_retry=may_retry))

    def rested(self, key: str) -> list[Act]:
        """Try again after a pause."""
        if key != self._rest_key:
            return []
        self._rest_key = None
        return self._try()

    def give_up_resting(self) -> list[Act]:
        """End now if it only waits to try again, as nothing may be asked any more."""
        if self._rest_key is None:
            return []
        rest, self._rest_key = self._rest_key, None
        return [LetGo(rest), InstanceOver(self._item, failure=self._failure)]

    def abandon(self) -> list[LetGo]:
        """Let everything go; nothing follows."""
        keys = [*self._calls, *([self._rest_key] if self._rest_key else ())]
        self._calls.clear()
        self._rest_key = None
        return [LetGo(key) for key in keys]

    def _try(self) -> list[Act]:
        self._attempt += 1
        self._race = self._races.new()
        return self._follow(self._race.begin())

    def _follow(self, moves: list[Move]) -> list[Act]:
        acts: list[Act] = []
        for move in moves:
            match move:
                case Call(slot):
                    acts.append(Place(self._request(slot)))
                case Leave(name):
                    acts.append(LetGo(self._forget(name)))
                case Won():
                    acts.append(self._won(move))
                case Lost():
                    acts.extend(self._lost(move))
        return acts

    def _request(self, slot: Slot) -> Request:
        key = f"{self._key}/{self._attempt}/{slot.name}"
        self._calls[key] = slot.name
        form = VERDICT_FORM if slot.purpose == "judge" else form_of(self._step)
        messages = self._races.messages if slot.messages is None else slot.messages
        return Request(
            key=key,
            step=self._step,
            item=self._item,
            attempt=self._attempt,
            purpose=slot.purpose,
            role=slot.role,
            rank=slot.rank,
            messages=messages,
            form=form,
        )

    def _forget(self, name: str) -> str:
        key = next(key for key, known in self._calls.items() if known == name)
        del self._calls[key]
        return key

    def _won(self, won: Won) -> InstanceOver:
        provider, model = self._answerers.get(won.name, ("", ""))
        mended = MENDED if won.name == "repair" else ""
        notes = [won.note, mended, CUT if won.reading.was_cut else ""]
        note = "; ".join(filter(None, notes))
        return InstanceOver(self._item, won.reading.value, None, provider, model, note)

    def _lost(self, lost: Lost) -> list[Act]:
        self._failure = lost.failure
        if lost.mendable is not None and not self._has_mended:
            return self._mend(lost.mendable)
        retry = self._step.step.retry
        if not lost.may_retry or self._attempt >= retry.attempts:
            return [InstanceOver(self._item, failure=lost.failure)]
        self._rest_key = f"{self._key}/{self._attempt}/pause"
        delay = retry.pause_ms(self._attempt)
        return [Rest(self._rest_key, self._step.step.id, self._item, delay)]

    def _mend(self, faulty: Faulty) -> list[Act]:
        self._has_mended = True
        self._race = self._races.mend(faulty)
        return self._follow(self._race.begin())
