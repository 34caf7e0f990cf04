"""What documents may say but nobody means: ties, routes that no call reaches. Pure."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from remora.errors import Problem
from remora.policy.consistency import Read, rules_of
from remora.policy.reachability import shadowed_routes
from remora.policy.routing import Route, Router
from remora.policy.spec import ClusterLLMPolicy, LLMPolicy
from remora.policy.yaml_source import SourceDocument


def warnings(read: Sequence[Read]) -> list[Problem]:
    """Find what people should know of documents that are valid.

    Args:
        read: The documents and where they stood.
    """
    return [*_shadowed(read), *_learned_otherwise(read), *_ties(read), *_second_defaults(read)]


def _shadowed(read: Sequence[Read]) -> Iterator[Problem]:
    for source, document in read:
        for path, rules in rules_of(document):
            for route in shadowed_routes(rules):
                yield Problem(source.where((*path, "routes", route.index)), route.what)


def _learned_otherwise(read: Sequence[Read]) -> Iterator[Problem]:
    """Find routes that want the scores of one goal made in another way than a route before them."""
    for source, document in read:
        for path, rules in rules_of(document):
            first: dict[str | None, Route] = {}
            for index, route in enumerate(rules.routes):
                router = route.router
                if router is None or router.policy != "learned":
                    continue
                before = first.setdefault(router.goal, route)
                for name in _made_by(before.router, router):
                    what = _OTHERWISE.format(field=name, first=before.name)
                    yield Problem(source.where((*path, "routes", index, "router", name)), what)


def _made_by(first: Router | None, router: Router) -> Iterator[str]:
    """Name what decides how scores are made, where two routers differ in it."""
    assert first is not None  # noqa: S101 - routes that learn have one
    if first.staleness != router.staleness:
        yield "staleness"
    if (first.updates == "gated") != (router.updates == "gated"):
        yield "updates"


_OTHERWISE = (
    "scores of a goal are made in one way, and route {first!r} before this one says another "
    "{field}, which applies: give both the same, or another goal"
)


def _ties(read: Sequence[Read]) -> Iterator[Problem]:
    policies = [(source, d) for source, d in read if isinstance(d, LLMPolicy)]
    policies.sort(key=lambda pair: pair[1].metadata.name)
    for (_, first), (source, other) in combinations(policies, 2):
        if _may_tie(first, other):
            yield Problem(_priority(source), _TIE.format(name=first.metadata.name))


_TIE = (
    "may select the same pods as LLMPolicy {name!r} with the same priority, which then applies "
    "as the first by name: give them different priorities"
)


def _may_tie(one: LLMPolicy, other: LLMPolicy) -> bool:
    namespaces = {one.metadata.namespace, other.metadata.namespace} - {None}
    return (
        len(namespaces) < 2
        and one.spec.priority == other.spec.priority
        and one.spec.selector.meets(other.spec.selector)
    )


def _priority(source: SourceDocument) -> str:
    return source.where(("spec", "priority"))


def _second_defaults(read: Sequence[Read]) -> Iterator[Problem]:
    having = [
        (source, document)
        for source, document in read
        if isinstance(document, ClusterLLMPolicy) and document.spec.defaults is not None
    ]
    having.sort(key=lambda pair: pair[1].metadata.name)
    for source, _ in having[1:]:
        first = having[0][1].metadata.name
        what = f"never apply: those of ClusterLLMPolicy {first!r} do, as the first by name"
        yield Problem(source.where(("spec", "defaults")), what)
