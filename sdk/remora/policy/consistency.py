"""What can only be wrong between documents: names given twice, hosts that are taken, unknown names.

Problems here; what may stand but was hardly meant is in `remora.policy.warnings`.
"""

from collections.abc import Collection, Iterator, Sequence

from remora.errors import Problem
from remora.policy.askable import unaskable
from remora.policy.limits import Budget
from remora.policy.problems import nearest
from remora.policy.provider_document import provider_of
from remora.policy.routing import Route, Target
from remora.policy.spec import CallRules, ClusterLLMPolicy, Document, LLMPolicy, LLMProvider
from remora.policy.yaml_source import Path, SourceDocument
from remora.providers import Provider, ProviderRegistry

Read = tuple[SourceDocument, Document]


def inconsistencies(read: Sequence[Read], defined: Collection[str]) -> list[Problem]:
    """Find what is wrong between documents that are well-formed by themselves.

    Args:
        read: The documents and where they stood.
        defined: Names of all providers that documents define, well-formed or not.
    """
    return [
        *_given_twice(read),
        *_taken_providers(read),
        *_unknown_providers(read, defined),
        *_keys_in_the_open(read),
        *_unaskable_models(read),
    ]


def _given_twice(read: Sequence[Read]) -> Iterator[Problem]:
    seen: dict[tuple[str, str | None, str], str] = {}
    for source, document in read:
        namespace = document.metadata.namespace if isinstance(document, LLMPolicy) else None
        key = (document.kind, namespace, document.metadata.name)
        if key in seen:
            first = seen[key].split(" ")[0]
            what = f"{document.kind} {document.metadata.name!r} stands in {first} already"
            yield Problem(source.where(("metadata", "name")), what)
        else:
            seen[key] = source.where(("metadata", "name"))


def _taken_providers(read: Sequence[Read]) -> Iterator[Problem]:
    known = list(ProviderRegistry.builtin())
    builtin_names = {provider.name for provider in known}
    for source, document in read:
        if not isinstance(document, LLMProvider):
            continue
        provider = provider_of(document)
        if provider.name in builtin_names:
            what = "is built in and can't be defined again"
            yield Problem(source.where(("metadata", "name")), what)
            continue
        yield from _taken_hosts(source, provider, known)
        known.append(provider)


def _taken_hosts(
    source: SourceDocument, provider: Provider, known: Sequence[Provider]
) -> Iterator[Problem]:
    for other in known:
        clash = provider.clash_with(other)
        if clash is not None and other.name != provider.name:
            path = ("spec", "hosts", provider.hosts.index(clash))
            builtin = "built-in " if other.built_in else ""
            what = f"{clash.text!r} is or holds a host of the {builtin}provider {other.name!r}"
            yield Problem(source.where(path), what)


def _unknown_providers(read: Sequence[Read], defined: Collection[str]) -> Iterator[Problem]:
    names = [*ProviderRegistry.builtin().names, *defined]
    for source, document in read:
        for path, rules in rules_of(document):
            for below, name in named_providers(rules):
                if name not in names:
                    hint = nearest(name, names)
                    yield Problem(source.where((*path, *below)), f"no provider {name!r}{hint}")


def _keys_in_the_open(read: Sequence[Read]) -> Iterator[Problem]:
    """Find the keys of providers that are reached in plain HTTP, where anybody may read them."""
    defined = [document for _, document in read if isinstance(document, LLMProvider)]
    open_names = {
        *(provider.name for provider in ProviderRegistry.builtin() if not provider.tls),
        *(p.metadata.name for p in defined if not p.spec.tls and not p.spec.allow_insecure),
    }
    for source, document in read:
        for path, rules in rules_of(document):
            for index, key in enumerate(rules.credentials):
                if key.secret_ref is not None and key.provider in open_names:
                    where = source.where((*path, "credentials", index, "provider"))
                    yield Problem(where, _IN_THE_OPEN.format(name=key.provider))


_IN_THE_OPEN = (
    "keys go over TLS only, and {name!r} is reached in plain HTTP: its LLMProvider would have to "
    "say allowInsecure: true"
)


def _unaskable_models(read: Sequence[Read]) -> Iterator[Problem]:
    """Find the models that the sidecar is to ask itself and can't."""
    defined = [provider_of(document) for _, document in read if isinstance(document, LLMProvider)]
    known = {provider.name: provider for provider in (*ProviderRegistry.builtin(), *defined)}
    for source, document in read:
        for path, rules in rules_of(document):
            for below, what in unaskable(rules, known):
                yield Problem(source.where((*path, *below)), what)


def kept_names(read: Sequence[Read]) -> Iterator[Problem]:
    """Find budgets with a name of the kind that those of floors have once they are merged in."""
    for source, document in read:
        for path, budgets in _budgets(document):
            for index, budget in enumerate(budgets):
                if "/" in budget.name:
                    what = "a name with '/' is kept for the budgets of floors: leave it out"
                    yield Problem(source.where((*path, "budgets", index, "name")), what)


def _budgets(document: Document) -> Iterator[tuple[Path, Sequence[Budget]]]:
    for path, rules in rules_of(document):
        yield path, rules.budgets
    if isinstance(document, ClusterLLMPolicy):
        yield ("spec", "floors"), document.spec.floors.budgets


def rules_of(document: Document) -> Iterator[tuple[Path, CallRules]]:
    """Go through the rules for calls in a document, and where they stand."""
    match document:
        case LLMPolicy():
            yield ("spec",), document.spec
        case ClusterLLMPolicy() if document.spec.defaults is not None:
            yield ("spec", "defaults"), document.spec.defaults


def named_providers(rules: CallRules) -> Iterator[tuple[Path, str]]:
    """Go through the names of providers in rules, and where each stands."""
    for index, name in enumerate(rules.intercept or ()):
        yield ("intercept", index), name
    for index, route in enumerate(rules.routes):
        for below, target in _targets(route):
            if target.provider is not None:
                yield ("routes", index, *below, "provider"), target.provider
    for index, key in enumerate(rules.credentials):
        if key.provider != "*":
            yield ("credentials", index, "provider"), key.provider
    for field, asked in rules.signals.asked().items():
        yield ("signals", field, "provider"), asked.provider


def _targets(route: Route) -> Iterator[tuple[Path, Target]]:
    candidates = () if route.router is None else route.router.candidates
    for index, candidate in enumerate(candidates):
        yield ("router", "candidates", index), candidate
    for index, target in enumerate(route.fallback):
        yield ("fallback", index), target
