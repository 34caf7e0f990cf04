"""The race that a step's strategy asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

from remora.workflows.compiled import CompiledStep
from remora.workflows.estimate import answerers_of, role_of
from remora.workflows.strategy import Judge
from remora_sidecar.workflows.likeness import agreement_of
from remora_sidecar.workflows.panel import Best, Quorum
from remora_sidecar.workflows.prompts import judging, mending
from remora_sidecar.workflows.question import SentMessage
from remora_sidecar.workflows.race import Faulty, First, Race, Slot
from remora_sidecar.workflows.reading import Reader
from remora_sidecar.workflows.speculation import Speculation


@dataclass(frozen=True)
class Races:
    """Makes the races of one question.

    Attributes:
        step: Whose strategy it is.
        reader: Reads its answers.
        messages: The step's conversation.
    """

    step: CompiledStep
    reader: Reader
    messages: tuple[SentMessage, ...]

    def new(self) -> Race:
        """Return a race for one try."""
        step, strategy = self.step.step, self.step.step.strategy
        if strategy.kind == "single":
            return First(self.reader, [Slot("answer", "answer", role_of(step))])
        is_json = step.output.type == "json"
        agreement = agreement_of(strategy.agreement, is_json=is_json)
        if strategy.kind == "speculative":
            draft = Slot("draft", "draft", role_of(strategy.drafter))
            verifier = Slot("verify", "verify", role_of(step))
            return Speculation(self.reader, draft, verifier, agreement)
        slots = self._racers()
        if strategy.quorum is not None:
            return Quorum(self.reader, slots, strategy.quorum, agreement)
        if strategy.best is not None:
            judge = strategy.best
            return Best(self.reader, slots, lambda answers: self._judge(judge, answers))
        return First(self.reader, slots)

    def _racers(self) -> list[Slot]:
        step = self.step.step
        if step.strategy.candidates:
            roles = answerers_of(step)
            return [Slot(f"answer{n}", "answer", role) for n, role in enumerate(roles)]
        ranks = range(step.strategy.racers)
        return [Slot(f"answer{rank}", "answer", role_of(step), rank) for rank in ranks]

    def _judge(self, judge: Judge, answers: Sequence[str]) -> Slot:
        messages = judging(self.messages, answers, judge.criteria)
        return Slot("judge", "judge", role_of(judge), messages=messages)

    def mend(self, faulty: Faulty) -> Race:
        """Return a race that asks whoever gave a faulty answer for it once more."""
        fault, place = faulty.reading.fault, faulty.slot
        problems = () if fault is None else fault.problems
        messages = mending(self.messages, faulty.reading.text, problems)
        return First(self.reader, [Slot("repair", "repair", place.role, place.rank, messages)])
