"""What an answer has to be, for each kind of work.

A contract demands form alone, and only what a good answer can't do without: an answer that passes
is not known to be good. Longer is never better, and neither is markup.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from remora.outcomes.json_schema import JsonSchema

LONG_PROMPT_CHARACTERS: Final = 1000
"""Of a shorter prompt no ratio is taken: the instructions are most of it."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What is checked of an answer's text.

    Attributes:
        is_json: It is one JSON document, in a fenced block or not.
        schema: What that document has to be; None: anything.
        code: ``python``: it parses as Python; ``any``: there is code in it, which is not cut;
            empty: nothing is asked.
        labels: It is one of these, in the form that `remora.outcomes.checks.label_form` gives
            them; empty: anything.
        number: It has a number in this range, its ends included; None: nothing is asked.
        min_characters: It is no shorter.
        max_characters: It is no longer; None: it may be of any length.
        min_ratio: Its length is no smaller part of the prompt's.
        max_ratio: Nor a greater one; None: it may be any.
        refusals_fail: A refusal is a bad answer.
    """

    is_json: bool = False
    schema: JsonSchema | None = None
    code: str = ""
    labels: frozenset[str] = frozenset()
    number: tuple[float, float] | None = None
    min_characters: int = 0
    max_characters: int | None = None
    min_ratio: float = 0.0
    max_ratio: float | None = None
    refusals_fail: bool = True

    @property
    def needs_prompt(self) -> bool:
        """Whether it asks how long the prompt was."""
        return self.min_ratio > 0 or self.max_ratio is not None

    @property
    def is_costly(self) -> bool:
        """Whether checking takes longer than to read the text once."""
        return self.is_json or self.schema is not None or self.code != ""


PLAIN: Final = Contract()
"""Of work that nobody knows more about: it is there, whole, and no refusal."""

DEFAULTS: Final[Mapping[str, Contract]] = MappingProxyType(
    {
        "classification": Contract(max_characters=200),
        "lead_scoring": Contract(number=(0, 100)),
        # A sentence may sum up a book, so there is no smallest part.
        "summarization": Contract(min_characters=50, max_ratio=0.5),
        "outreach_generation": Contract(min_characters=50, max_characters=4000),
        "code_generation": Contract(code="any"),
    }
)
"""By goal; the names are those of `remora.outcomes.goals`."""


def default_contract(goal: str) -> Contract:
    """Give what is asked of answers for a goal of which policy says nothing."""
    return DEFAULTS.get(goal, PLAIN)
