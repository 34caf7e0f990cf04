"""What each kind of signal says about an answer.

One table for every door that signals come in by; who sends a kind that is not here has to say
itself how good the answer was.
"""

from collections.abc import Mapping
from typing import NamedTuple

from remora.learning.evidence import Source


class Meaning(NamedTuple):
    """How a kind of signal is read where the sender says no more than the kind.

    Attributes:
        strength: How good the answer was, from 0 to 1.
        confidence: How sure that is, from 0 to 1.
    """

    source: Source
    strength: float
    confidence: float = 1.0


MEANINGS: Mapping[str, Meaning] = {
    "output_used_verbatim": Meaning(Source.DOWNSTREAM, 1.0),
    "output_copied": Meaning(Source.DOWNSTREAM, 0.9),
    "output_edited": Meaning(Source.DOWNSTREAM, 0.4),
    "output_discarded": Meaning(Source.DOWNSTREAM, 0.0),
    "user_accepted": Meaning(Source.EXPLICIT, 0.85),
    "user_rejected": Meaning(Source.EXPLICIT, 0.0),
    "turn_accepted": Meaning(Source.CLASSIFIED, 1.0, 0.75),
    "turn_rejected": Meaning(Source.CLASSIFIED, 0.0, 0.75),
    "session_closing": Meaning(Source.INFERRED, 0.65, 0.4),
    "session_widening": Meaning(Source.INFERRED, 0.25, 0.4),
    "retry": Meaning(Source.INFERRED, 0.2, 0.3),
    "abandonment": Meaning(Source.INFERRED, 0.3, 0.2),
    "silence": Meaning(Source.INFERRED, 0.6, 0.1),
    "check_passed": Meaning(Source.INFERRED, 0.8, 0.3),
    "check_failed": Meaning(Source.INFERRED, 0.0, 0.6),
    "provider_error": Meaning(Source.INFERRED, 0.0, 1.0),
}


def edit_strength(changed_share: float) -> float:
    """Say how good an answer was of which a share was changed, from 0 to 1.

    An answer hardly touched counts as copied, one rewritten as discarded; a third changed is
    the table's ``output_edited``.
    """
    if not 0 <= changed_share <= 1:
        raise ValueError(f"changed_share is {changed_share}: give a number from 0 to 1")
    return round(0.9 * (1 - changed_share) ** 2, 6)
