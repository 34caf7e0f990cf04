"""What can only be wrong between documents: names given twice, hosts that are taken."""

from collections.abc import Collection, Iterator, Sequence

from remora.errors import Problem
from remora.policy.problems import nearest
from remora.policy.provider_document import provider_of
from remora.policy.spec import CallRules, ClusterLLMPolicy, Document, LLMPolicy, LLMProvider
from remora.policy.yaml_source import Path, YamlDocument
from remora.providers import Provider, ProviderRegistry

Read = tuple[YamlDocument, Document]


def inconsistencies(read: Sequence[Read], defined: Collection[str]) -> list[Problem]:
    """Find what is wrong between documents that are well-formed by themselves.

    Args:
        read: The documents and where they stood.
        defined: Names of all providers that documents define, well-formed or not.
    """
    return [*_given_twice(read), *_taken_providers(read), *_unknown_providers(read, defined)]


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
    source: YamlDocument, provider: Provider, known: Sequence[Provider]
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
        for path, name in _named_providers(document):
            if name not in names:
                hint = nearest(name, names)
                yield Problem(source.where(path), f"no provider {name!r}{hint}")


def _named_providers(document: Document) -> Iterator[tuple[Path, str]]:
    """Go through the names of providers in a policy."""
    match document:
        case LLMPolicy():
            yield from _intercepted(("spec",), document.spec)
        case ClusterLLMPolicy() if document.spec.defaults is not None:
            yield from _intercepted(("spec", "defaults"), document.spec.defaults)


def _intercepted(path: tuple[str, ...], rules: CallRules) -> Iterator[tuple[Path, str]]:
    for index, name in enumerate(rules.intercept or ()):
        yield (*path, "intercept", index), name
