"""Several models answer, and agreement or a judge decides."""

from collections.abc import Callable, Sequence
from typing import Final

from remora.workflows.strategy import Agreement
from remora_sidecar.workflows.likeness import agree
from remora_sidecar.workflows.prompts import verdict_of
from remora_sidecar.workflows.race import Move, Race, Slot
from remora_sidecar.workflows.reading import Reader, Reading
from remora_sidecar.workflows.saved import Failure

NO_QUORUM: Final = "no_quorum"
UNJUDGED: Final = "no verdict of the judge: the first answer in the order of the models stands"


class Quorum(Race):
    """The answer that enough others agree with.

    Answers are put in groups as they come: each joins the first group with whose oldest answer it
    agrees. The oldest answer of the group that is large enough first stands.
    """

    def __init__(
        self, reader: Reader, slots: Sequence[Slot], quorum: int, agreement: Agreement
    ) -> None:
        """Take the places, how many have to agree, and what agreeing means."""
        super().__init__(reader)
        self._slots, self._quorum, self._agreement = slots, quorum, agreement
        self._groups: list[tuple[str, Reading, int]] = []

    def begin(self) -> list[Move]:
        """Ask them all."""
        return self._ask(self._slots)

    def _passed(self, slot: Slot, reading: Reading) -> list[Move]:
        place = self._join(slot, reading)
        name, oldest, size = self._groups[place]
        if size >= self._quorum:
            note = f"{size} of {len(self._slots)} answers agree"
            return self._won(name, oldest, note)
        return self._spoiled(slot)

    def _join(self, slot: Slot, reading: Reading) -> int:
        for place, (name, oldest, size) in enumerate(self._groups):
            if agree(self._agreement, oldest.value, reading.value):
                self._groups[place] = (name, oldest, size + 1)
                return place
        self._groups.append((slot.name, reading, 1))
        return len(self._groups) - 1

    def _spoiled(self, slot: Slot) -> list[Move]:
        """Give up as soon as those that are left can't make a quorum."""
        largest = max((size for _, _, size in self._groups), default=0)
        if largest + len(self.pending) >= self._quorum:
            return []
        self._mendable = None
        if self._groups:
            said = f"at most {largest} answers agree, {self._quorum} should"
            self._failure, self._may_retry = Failure(NO_QUORUM, said), True
        return self._lost()


class Best(Race):
    """All answer, and a judge takes the best of those that pass.

    One alone needs no judge. A judge that fails or names none leaves the first answer in the order
    of the models: it passes, and it is paid.
    """

    def __init__(
        self,
        reader: Reader,
        slots: Sequence[Slot],
        judge: Callable[[Sequence[str]], Slot],
    ) -> None:
        """Take the places, and what makes the judge's place of the answers' texts."""
        super().__init__(reader)
        self._slots, self._judge = slots, judge
        self._judge_name: str | None = None
        self._passing: dict[str, Reading] = {}

    def begin(self) -> list[Move]:
        """Ask them all but the judge."""
        return self._ask(self._slots)

    def answered(self, name: str, text: str, *, was_cut: bool = False) -> list[Move]:
        """Take an answer, the judge's too."""
        if name != self._judge_name:
            return super().answered(name, text, was_cut=was_cut)
        del self.pending[name]
        ranked = self._ranked()
        place = verdict_of(text, len(ranked))
        if place is None:
            return self._unjudged()
        return self._won(*ranked[place], f"taken by the judge from {len(ranked)} answers")

    def _ranked(self) -> list[tuple[str, Reading]]:
        names = (slot.name for slot in self._slots if slot.name in self._passing)
        return [(name, self._passing[name]) for name in names]

    def _passed(self, slot: Slot, reading: Reading) -> list[Move]:
        self._passing[slot.name] = reading
        return self._spoiled(slot)

    def _spoiled(self, slot: Slot) -> list[Move]:
        if slot.name == self._judge_name:
            return self._unjudged()
        if self.pending:
            return []
        ranked = self._ranked()
        if len(ranked) > 1:
            judge = self._judge([reading.text for _, reading in ranked])
            self._judge_name = judge.name
            return self._ask([judge])
        return self._won(*ranked[0], "the only answer that passes") if ranked else self._lost()

    def _unjudged(self) -> list[Move]:
        return self._won(*self._ranked()[0], UNJUDGED)
