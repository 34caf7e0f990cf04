"""One object's versions, and which of them is in force. Pure.

The newest version that can be used is in force. One that names a provider counts as usable once
that provider was defined, in whatever order the two came; if the provider goes away again, the
policy is not replaced by an older version of itself, which nobody asked for: it is *held*. Pods
that have it keep it, and new ones wait, until somebody mends it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from remora.errors import Problem
from remora.policy.consistency import inconsistencies
from remora.policy.spec import Document, LLMProvider
from remora.providers import ProviderRegistry
from remora_operator.policies.reading import (
    Claim,
    ObjectKey,
    ObjectSource,
    Reading,
    keyed_providers,
    needed_providers,
)

_MAX_VERSIONS = 8
"""At most, with those that wait for a provider; the oldest may be in force and stays."""


_BUILT_IN = frozenset(ProviderRegistry.builtin().names)
_BUILT_IN_KEYED = frozenset(p.name for p in ProviderRegistry.builtin() if p.tls)


class KnownProviders:
    """The providers that can be named: those in force, and those that ever were defined.

    "Ever" is since the operator started; only what has been usable since then can be told from a
    name that was mistyped.
    """

    def __init__(self) -> None:
        """Start with those that are built in."""
        self._usable: Mapping[str, LLMProvider] = {}
        self._keyed_now = _BUILT_IN_KEYED
        self._ever = set(_BUILT_IN)
        self._ever_keyed = set(_BUILT_IN_KEYED)

    @property
    def usable(self) -> Mapping[str, LLMProvider]:
        """By name, the definitions in force."""
        return self._usable

    def use(self, usable: Mapping[str, LLMProvider]) -> None:
        """Put definitions in force, in place of those that were."""
        self._usable = usable
        self._keyed_now = _BUILT_IN_KEYED | {n for n, p in usable.items() if _may_have_keys(p)}

    def learn(self, document: Document | None) -> None:
        """Take note of a provider's definition."""
        if isinstance(document, LLMProvider):
            self._ever.add(document.metadata.name)
            if _may_have_keys(document):
                self._ever_keyed.add(document.metadata.name)

    def settle(self, document: Document) -> bool:
        """Tell whether all that a document names was ever there."""
        return (
            needed_providers(document) <= self._ever
            and keyed_providers(document) <= self._ever_keyed
        )

    def problems(self, document: Document) -> tuple[Problem, ...]:
        """Say what is wrong between a policy and the providers in force now."""
        needed = needed_providers(document)
        is_there = all(name in _BUILT_IN or name in self._usable for name in needed)
        if is_there and keyed_providers(document) <= self._keyed_now:
            return ()
        named = [self._usable[name] for name in sorted(needed) if name in self._usable]
        read = [(ObjectSource(None), d) for d in (document, *named)]
        return tuple(inconsistencies(read, list(self._usable)))


def _may_have_keys(provider: LLMProvider) -> bool:
    return provider.spec.tls or provider.spec.allow_insecure


@dataclass(frozen=True, slots=True)
class Standing:
    """What became of an object.

    Attributes:
        key: Whose.
        generation: The newest that was seen.
        created: When the object was made.
        document: What is in force of it; None: nothing.
        in_force: The generation of `document`; it is older than `generation` where the newest
            can't be used.
        problems: Of the newest version, or of the one that should be in force.
        is_readable: Whether the newest version can be read by itself.
        claim: Which pods it would rule; counts where nothing is in force.
    """

    key: ObjectKey
    generation: int
    created: datetime
    document: Document | None
    in_force: int | None
    problems: tuple[Problem, ...]
    is_readable: bool
    claim: Claim


class History:
    """The versions of one object that still matter."""

    def __init__(self, first: Reading) -> None:
        """Begin with a version."""
        self.uid = first.uid
        self._newest = first
        self._versions: dict[int, Document] = {}
        self.add(first)

    def add(self, reading: Reading) -> None:
        """Take a version; one that is older than the newest may come late."""
        if reading.generation >= self._newest.generation:
            self._newest = reading
        if reading.document is not None:
            self._versions[reading.generation] = reading.document
            if len(self._versions) > _MAX_VERSIONS:
                del self._versions[sorted(self._versions)[1]]

    def standing(self, known: KnownProviders) -> Standing:
        """Say which version is in force beside these providers."""
        newest, chosen = self._newest, self._chosen(known)
        document = None if chosen is None else self._versions[chosen]
        problems = newest.problems
        if newest.document is not None:
            problems = known.problems(newest.document)
        if document is not None and (wrong := known.problems(document)):
            document, problems = None, problems or wrong
        return Standing(
            key=newest.key,
            generation=newest.generation,
            created=newest.created,
            document=document,
            in_force=None if document is None else chosen,
            problems=problems,
            is_readable=newest.document is not None,
            claim=newest.claim,
        )

    def _chosen(self, known: KnownProviders) -> int | None:
        """Return the newest version whose names are known; older ones never count again."""
        settled = [g for g, document in self._versions.items() if known.settle(document)]
        if not settled:
            return None
        chosen = max(settled)
        for generation in [g for g in self._versions if g < chosen]:
            del self._versions[generation]
        return chosen


def usable_providers(
    standings: Iterable[Standing],
) -> tuple[dict[str, LLMProvider], dict[ObjectKey, Problem]]:
    """Find the providers whose hosts nobody had before them: the oldest has it, then by name.

    Returns:
        Those in force by name, and what is wrong with the others.
    """
    usable: dict[str, LLMProvider] = {}
    taken: dict[ObjectKey, Problem] = {}
    for standing in sorted(standings, key=lambda one: (one.created, one.key.name)):
        document = standing.document
        if not isinstance(document, LLMProvider):
            continue
        clashes = _clashes(document, list(usable.values()))
        if clashes:
            taken[standing.key] = clashes[0]
        else:
            usable[standing.key.name] = document
    return usable, taken


def _clashes(document: LLMProvider, before: Sequence[LLMProvider]) -> list[Problem]:
    read = [(ObjectSource(None), one) for one in (*before, document)]
    return inconsistencies(read, ())
