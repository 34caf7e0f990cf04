"""What no policy may go below, merged into the rules of one. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from remora.policy.globs import Glob
from remora.policy.limits import Budget, ModelRules
from remora.policy.spec import CallRules, Capture, ClusterLLMPolicy, Floors, PolicySpec

_STRICTEST_CAPTURE_FIRST: tuple[Capture, ...] = ("metadata", "redacted", "full")


def with_floors(rules: CallRules, policies: Sequence[ClusterLLMPolicy]) -> PolicySpec:
    """Merge the floors of a cluster into rules.

    Denied models are united and allowed ones intersected, all budgets apply, of capture and
    opaque the stricter does. What selected the rules is left out: it is no matter of the calls.

    Args:
        rules: Of the selected policy.
        policies: In order of name.
    """
    floors = [policy.spec.floors for policy in policies]
    merged = {name: getattr(rules, name) for name in CallRules.model_fields}
    merged["models"] = _models([rules.models, *(floor.models for floor in floors)])
    merged["budgets"] = (*rules.budgets, *_budgets(policies))
    merged["capture"] = _strictest(rules.capture, floors)
    if any(floor.opaque == "block" for floor in floors):
        merged["opaque"] = "block"
    return PolicySpec().model_copy(update=merged)


def _strictest(capture: Capture, floors: Iterable[Floors]) -> Capture:
    captures = [capture, *(floor.capture for floor in floors if floor.capture is not None)]
    return min(captures, key=_STRICTEST_CAPTURE_FIRST.index)


def _models(rules: Sequence[ModelRules]) -> ModelRules:
    """Unite what is denied, and keep every list of what is allowed: a model has to fit each.

    The lists are not made one: patterns that take what two patterns take may be very many.
    """
    own, *floors = rules
    lists = [*own.within, *(globs for floor in floors for globs in _lists(floor))]
    return ModelRules(
        allow=own.allow,
        within=tuple(dict.fromkeys(globs for globs in lists if globs != own.allow)),
        deny=tuple(dict.fromkeys(glob for rule in rules for glob in rule.deny)),
    )


def _lists(rules: ModelRules) -> Iterator[tuple[Glob, ...]]:
    if rules.allow:
        yield rules.allow
    yield from rules.within


def _budgets(policies: Iterable[ClusterLLMPolicy]) -> Iterator[Budget]:
    """Name each budget after its cluster policy as well, so that none takes another's name."""
    for policy in policies:
        for budget in policy.spec.floors.budgets:
            yield budget.model_copy(update={"name": f"{policy.metadata.name}/{budget.name}"})
