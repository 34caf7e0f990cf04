"""The status of every policy object, from what is in force and what sidecars said. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import nsmallest

from remora.errors import Problem
from remora.policy import LLMProvider
from remora_operator.inject import PolicyNeeds
from remora_operator.policies.answers import Answer, Refusal
from remora_operator.policies.conditions import Condition, ConditionStatus, ConditionType, settled
from remora_operator.policies.history import Standing
from remora_operator.policies.pod_policy import PodPolicy
from remora_operator.policies.pods import PodFacts
from remora_operator.policies.reading import ObjectKey
from remora_operator.policies.shelf import PolicyShelf

_SHOWN = 3
"""Of what may be many, such as pods: so many are named."""


@dataclass(frozen=True, slots=True)
class LastError:
    """The latest refusal of a document that holds what this object says."""

    pod: str
    field_path: str
    reason: str


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """The status of one object.

    Attributes:
        observed_generation: Of the spec that all of this is about.
        conditions: In a fixed order of their types.
        pods: How many pods the object concerns.
        current: How many of them have the newest document in force.
        last_error: Why one of the others has not; None: nobody refused it.
    """

    observed_generation: int
    conditions: tuple[Condition, ...]
    pods: int
    current: int
    last_error: LastError | None = None

    def to_json(self) -> Mapping[str, object]:
        """Write it as the object's ``status``."""
        error = self.last_error
        return {
            "observedGeneration": self.observed_generation,
            "conditions": [condition.to_json() for condition in self.conditions],
            "pods": {"selected": self.pods, "current": self.current},
            "lastError": None
            if error is None
            else {"pod": error.pod, "fieldPath": error.field_path, "reason": error.reason},
        }


@dataclass(frozen=True, slots=True)
class _Served:
    """One pod that an object concerns.

    Attributes:
        pod: The pod.
        policy: What it should have.
        is_current: Whether it has the newest document in force.
        refusal: Why it has not, said here or to the replica that serves it; None: nobody said.
    """

    pod: PodFacts
    policy: PodPolicy
    is_current: bool
    refusal: Refusal | None

    def __str__(self) -> str:
        return f"{self.pod.namespace}/{self.pod.name}"


def statuses(
    shelf: PolicyShelf,
    answer_of: Callable[[str], Answer],
    before: Mapping[ObjectKey, Sequence[Condition]],
    now: datetime,
) -> Mapping[ObjectKey, ObjectStatus]:
    """Work out the status of every object.

    Args:
        shelf: What is in force.
        answer_of: Gives what a pod said last, by its uid.
        before: The conditions that objects have now.
        now: An aware time; of conditions that have changed.
    """
    return dict(each_status(shelf, answer_of, before, now))


def each_status(
    shelf: PolicyShelf,
    answer_of: Callable[[str], Answer],
    before: Mapping[ObjectKey, Sequence[Condition]],
    now: datetime,
) -> Iterator[tuple[ObjectKey, ObjectStatus]]:
    """Work out the statuses one by one, of what stood on the shelf at the beginning.

    Args and meaning are those of `statuses`; whoever has thousands of pods lets others have
    their turn in between.
    """
    alike: dict[int, list[_Served]] = {}  # many pods share one policy
    for served in _served(shelf, answer_of):
        alike.setdefault(id(served.policy), []).append(served)
    concerned: dict[ObjectKey, list[_Served]] = {}
    floors = shelf.floors()
    for pods in alike.values():
        for key in _concerning(pods[0].policy, floors):
            concerned.setdefault(key, []).extend(pods)
    for one in list(shelf.standings()):
        yield one.key, _status(one, concerned.get(one.key, ()), before.get(one.key, ()), now)


def _served(shelf: PolicyShelf, answer_of: Callable[[str], Answer]) -> list[_Served]:
    found = ((pod, shelf.policy_of(pod.uid)) for pod in shelf.pods())
    return [
        _serving(pod, policy, answer_of(pod.uid))
        for pod, policy in found
        if isinstance(policy, PodPolicy)
    ]


def _serving(pod: PodFacts, policy: PodPolicy, answer: Answer) -> _Served:
    version = policy.version
    if version in (answer.applied, pod.reported_version):
        return _Served(pod, policy, is_current=True, refusal=None)
    said = (answer.refusal, pod.reported_refusal)
    refusal = next((r for r in said if r is not None and r.version == version), None)
    return _Served(pod, policy, is_current=False, refusal=refusal)


def _concerning(policy: PodPolicy, floors: frozenset[ObjectKey]) -> set[ObjectKey]:
    """Return the objects that a pod's document is made of, and those that it was tied with."""
    own = {policy.source} if policy.source is not None else set()
    providers = {ObjectKey("LLMProvider", "", p.metadata.name) for p in policy.effective.providers}
    return {*own, *policy.tied, *providers, *floors}


def _status(
    one: Standing, concerned: Sequence[_Served], before: Sequence[Condition], now: datetime
) -> ObjectStatus:
    served = [pod for pod in concerned if _rules(one.key, pod)]
    wanted = (
        _accepted(one),
        _enforced(one, served),
        _conflicted(one, concerned),
        _restart_required(one, served),
    )
    return ObjectStatus(
        observed_generation=one.generation,
        conditions=settled(wanted, before, now),
        pods=len(served),
        current=sum(pod.is_current for pod in served),
        last_error=_last_error(served),
    )


def _rules(key: ObjectKey, served: _Served) -> bool:
    """Tell whether what the object says is in the pod's document: of tied ones only one is."""
    return key.kind != "LLMPolicy" or key == served.policy.source


def _accepted(one: Standing) -> Condition:
    if not one.problems:
        return _condition(one, "Accepted", "True", "Valid", "it can be enforced")
    reason = "Unresolved" if one.is_readable else "Invalid"
    problems = "; ".join(map(str, one.problems))
    return _condition(one, "Accepted", "False", reason, f"{problems}. {_instead(one)}")


def _instead(one: Standing) -> str:
    if one.document is not None:
        return f"Generation {one.in_force} of it stays in force"
    if one.key.kind == "LLMProvider":
        return "Nothing of it is in force"
    return "Running pods keep the policy that they have, and new ones wait"


def _enforced(one: Standing, served: Sequence[_Served]) -> Condition:
    if one.document is None:
        return _condition(one, "Enforced", "False", "NotAccepted", "nothing of it is in force")
    refused = [pod for pod in served if pod.refusal is not None]
    if refused:
        text = f"{len(refused)} of {len(served)} pods refused it: {_named(refused)}"
        return _condition(one, "Enforced", "False", "Refused", text)
    withheld = _withheld(one, served)
    if withheld:
        return _condition(one, "Enforced", "False", "CredentialsWithheld", withheld)
    if not served:
        return _condition(one, "Enforced", "Unknown", "NoPods", "no pod with a sidecar has it")
    behind = [pod for pod in served if not pod.is_current]
    if behind:
        text = f"{len(behind)} of {len(served)} pods have not confirmed it yet: {_named(behind)}"
        return _condition(one, "Enforced", "False", "Progressing", text)
    if one.in_force != one.generation:
        text = f"pods have generation {one.in_force}, since the newest can't be used"
        return _condition(one, "Enforced", "False", "EarlierGeneration", text)
    text = f"{len(served)} pods have it in force"
    return _condition(one, "Enforced", "True", "AllPodsCurrent", text)


def _withheld(one: Standing, served: Sequence[_Served]) -> str:
    policies = {id(pod.policy): pod.policy for pod in served}.values()
    own = (policy for policy in policies if policy.source == one.key)
    found = dict.fromkeys(str(key) for policy in own for key in policy.withheld)
    return "; ".join(list(found)[:_SHOWN])


def _conflicted(one: Standing, concerned: Sequence[_Served]) -> Condition:
    tied = [pod for pod in concerned if one.key in pod.policy.tied]
    if not tied:
        return _condition(one, "Conflicted", "False", "NoConflict", "nothing is tied with it")
    others = sorted({key for pod in tied for key in pod.policy.tied} - {one.key})
    names = ", ".join(key.name for key in others[:_SHOWN])
    if one.key.kind == "LLMPolicy":
        text = (
            f"{_named(tied)}: selected with the same priority by {names}, too; the first by name "
            "applies: give them different priorities"
        )
        return _condition(one, "Conflicted", "True", "SamePriority", text)
    text = f"{names} has defaults, too; those of the first by name apply: keep one of them"
    return _condition(one, "Conflicted", "True", "SecondDefaults", text)


def _restart_required(one: Standing, served: Sequence[_Served]) -> Condition:
    lacks_of: dict[tuple[int, int], tuple[str, ...]] = {}  # many pods share both
    lacking: dict[str, tuple[str, ...]] = {}
    for pod in served:
        both = id(pod.pod.provided), id(pod.policy)
        lacks = lacks_of.get(both)
        if lacks is None:
            lacks = lacks_of[both] = _lacks(one, pod)
        if lacks:
            lacking[str(pod)] = lacks
    if not lacking:
        text = "no pod lacks anything that only a new one would have"
        return _condition(one, "RestartRequired", "False", "UpToDate", text)
    shown = "; ".join(f"{pod} lacks {lacks[0]}" for pod, lacks in list(lacking.items())[:_SHOWN])
    text = f"{len(lacking)} pods have to be made anew: {shown}"
    return _condition(one, "RestartRequired", "True", "PodsLackNeeds", text)


def _lacks(one: Standing, served: _Served) -> tuple[str, ...]:
    """Return what a pod lacks of what this object, and not another one, needs of it."""
    provided, needs = served.pod.provided, served.policy.needs
    if provided is None:
        return ()
    if isinstance(one.document, LLMProvider):
        own = one.document.spec.listening_ports
        return provided.missing(PolicyNeeds(ports=tuple(p for p in needs.ports if p in own)))
    return provided.missing(needs) if one.key == served.policy.source else ()


def _named(pods: Sequence[_Served]) -> str:
    names = nsmallest(_SHOWN, map(str, pods))
    more = f" and {len(pods) - _SHOWN} more" if len(pods) > _SHOWN else ""
    return ", ".join(names) + more


def _last_error(served: Sequence[_Served]) -> LastError | None:
    refused = [(pod.refusal, pod) for pod in served if pod.refusal is not None]
    if not refused:
        return None
    refusal, pod = max(refused, key=lambda found: found[0].turn)
    first: Problem = refusal.problems[0]
    return LastError(str(pod), first.where, first.what)


def _condition(
    one: Standing, kind: ConditionType, status: ConditionStatus, reason: str, message: str
) -> Condition:
    return Condition(kind, status, reason, message, one.generation)
