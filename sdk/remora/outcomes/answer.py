"""What checks look at of an answer, and of what asked for it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a model; never kept, logged or sent.

    Attributes:
        text: What the model said, without its reasoning.
        finish_reason: The provider's own word for why it stopped; empty if it stated none.
        calls_tools: It asks for tools to be called, so that text may be missing.
        is_refused: The provider says by itself that the model refused.
        is_partial: Only the beginning of the text is here, since it is longer than is looked at.
        is_json_asked: The request demands JSON.
        prompt_characters: Length of what was asked; 0 if unknown.
    """

    text: str = field(repr=False)
    finish_reason: str = ""
    calls_tools: bool = False
    is_refused: bool = False
    is_partial: bool = False
    is_json_asked: bool = False
    prompt_characters: int = 0
