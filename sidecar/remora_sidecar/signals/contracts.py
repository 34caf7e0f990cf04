"""What policy asks of answers for a goal, compiled once for each policy. Pure."""

from remora.outcomes.checks import label_form
from remora.outcomes.contracts import Contract, default_contract
from remora.outcomes.json_schema import JsonSchema
from remora.policy.signals import AnswerCheck, Signals

_MOST_GOALS = 1024


class Contracts:
    """Contracts by goal."""

    def __init__(self, signals: Signals) -> None:
        """Compile what a policy says."""
        self.signals = signals
        self._checks = [(check.goal, contract_of(check)) for check in signals.checks]
        self._known: dict[str, Contract] = {}

    def of(self, goal: str) -> Contract:
        """Give what is asked of answers for a goal: the first check that takes it, or defaults."""
        found = self._known.get(goal)
        if found is None:
            fitting = (contract for glob, contract in self._checks if glob.matches(goal))
            found = next(fitting, None) or default_contract(goal)
            if len(self._known) >= _MOST_GOALS:
                self._known.clear()
            self._known[goal] = found
        return found


def contract_of(check: AnswerCheck) -> Contract:
    """Compile one check of a policy."""
    ratio = check.ratio
    return Contract(
        is_json=check.is_json,
        schema=None if check.json_schema is None else JsonSchema(check.json_schema),
        code=check.code or "",
        labels=frozenset(map(label_form, check.labels)),
        min_characters=check.min_chars or 0,
        max_characters=check.max_chars,
        min_ratio=(ratio.min or 0.0) if ratio is not None else 0.0,
        max_ratio=ratio.max if ratio is not None else None,
        refusals_fail=check.refusals == "fail",
    )
