"""A fast model drafts while a stronger one verifies.

The verifier's answer decides, so the draft stands only if it came first and agrees, or if the
verifier gives nothing that passes.
"""

from typing import Final

from remora.workflows.strategy import Agreement
from remora_sidecar.workflows.likeness import agree
from remora_sidecar.workflows.race import Lost, Move, Race, Slot
from remora_sidecar.workflows.reading import Reader, Reading

AGREED: Final = "draft and verifier agree"
DISAGREED: Final = "draft and verifier disagree"
UNVERIFIED: Final = "the verifier gave no answer that passes: the draft stands"


class Speculation(Race):
    """The race of a draft and a verifier."""

    def __init__(self, reader: Reader, draft: Slot, verifier: Slot, agreement: Agreement) -> None:
        """Take both places and what agreeing means."""
        super().__init__(reader)
        self._draft_slot, self._verifier_slot = draft, verifier
        self._agreement = agreement
        self._draft: Reading | None = None
        self._lost_verifier: Lost | None = None

    def begin(self) -> list[Move]:
        """Ask both."""
        return self._ask([self._draft_slot, self._verifier_slot])

    def _passed(self, slot: Slot, reading: Reading) -> list[Move]:
        if slot is self._verifier_slot:
            return self._verified(reading)
        if self._lost_verifier is not None:
            return self._won(slot.name, reading, UNVERIFIED)
        self._draft = reading
        return []

    def _verified(self, reading: Reading) -> list[Move]:
        name = self._verifier_slot.name
        if self._draft is None:
            return self._won(name, reading)
        if agree(self._agreement, self._draft.value, reading.value):
            return self._won(self._draft_slot.name, self._draft, AGREED)
        return self._won(name, reading, DISAGREED)

    def _spoiled(self, slot: Slot) -> list[Move]:
        if slot is self._draft_slot:
            self._mendable = None
            return [] if self.pending else self._verifier_failed()
        self._lost_verifier = self._loss()
        if self._draft is not None:
            return self._won(self._draft_slot.name, self._draft, UNVERIFIED)
        return [] if self.pending else self._verifier_failed()

    def _verifier_failed(self) -> list[Move]:
        """Neither is left: it is the verifier's failure, and its answer that is mended."""
        lost = self._lost_verifier
        return self._lost() if lost is None else [lost]
