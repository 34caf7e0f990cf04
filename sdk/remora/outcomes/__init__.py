"""What can be told of an answer without asking anybody. Pure.

`categories` names why calls fail, `goals` what a request is for, `checks` whether an answer has the
form that its goal asks for. The sidecar looks at the text in memory; what leaves is an `Outcome`,
which holds none of it.
"""

from remora.outcomes.answer import Answer
from remora.outcomes.categories import CATEGORIES, category_of
from remora.outcomes.checks import evaluate, provider_error
from remora.outcomes.contracts import Contract, default_contract
from remora.outcomes.goals import GENERAL, classified_goal

__all__ = [
    "CATEGORIES",
    "GENERAL",
    "Answer",
    "Contract",
    "category_of",
    "classified_goal",
    "default_contract",
    "evaluate",
    "provider_error",
]
