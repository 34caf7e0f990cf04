"""The models that steps are given to, as data: what they can do, and how strong they are.

Read from ``catalogue.yaml`` on first use. Prices are not in it: they are the sidecar's price
book's, with a date and a source of their own. `training/catalogue` keeps the file.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal, get_args

from remora.workflows.model import CAPABILITIES, TIERS, Capability, Tier

Operation = Literal["chat", "embeddings"]


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """One model at one provider.

    Attributes:
        provider: Name in the registry of providers.
        model: Name as the provider takes it.
        tier: How strong it is.
        operation: What it is asked for.
        context_tokens: Most tokens of prompt and answer together, on the safe side.
        answer_tokens: Most tokens of one answer; None: no more is known than the context.
        capabilities: What it can do.
        retires: ISO date from which the provider does not serve it; empty: none is known.
    """

    provider: str
    model: str
    tier: Tier
    operation: Operation
    context_tokens: int
    answer_tokens: int | None
    capabilities: frozenset[Capability]
    retires: str = ""

    @property
    def name(self) -> str:
        """Provider and model, as people write them."""
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True)
class Catalogue:
    """Models that may be chosen from.

    Attributes:
        models: Each once.
        checked: ISO date on which the facts were last compared with their sources.
        sources: Where the facts are from.
    """

    models: tuple[CatalogueModel, ...]
    checked: str = ""
    sources: tuple[str, ...] = ()

    def find(self, model: str, provider: str | None = None) -> tuple[CatalogueModel, ...]:
        """Return the entries of a model, at one provider or at all of them."""
        return tuple(
            entry
            for entry in self.models
            if entry.model == model and provider in (None, entry.provider)
        )

    def with_models(self, models: Iterable[CatalogueModel]) -> "Catalogue":
        """Return a catalogue with further models; of two of one name the later stands."""
        by_name = {entry.name: entry for entry in (*self.models, *models)}
        return Catalogue(tuple(by_name.values()), self.checked, self.sources)

    @staticmethod
    def builtin() -> "Catalogue":
        """Return the package's own."""
        return _builtin()


@lru_cache(maxsize=1)
def _builtin() -> Catalogue:
    from ruamel.yaml import YAML

    text = files(__package__).joinpath("catalogue.yaml").read_text(encoding="utf-8")
    return catalogue_from(YAML(typ="safe", pure=True).load(text))


def catalogue_from(document: Mapping[str, Any]) -> Catalogue:
    """Read a catalogue's document.

    Raises:
        ValueError: An entry has a word that is not known, or stands twice.
    """
    models = tuple(_models(document["providers"]))
    names = [entry.name for entry in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"more than once in the catalogue: {', '.join(twice)}")
    return Catalogue(models, str(document["checked"]), tuple(document["sources"]))


def _models(providers: Mapping[str, list[Mapping[str, Any]]]) -> Iterator[CatalogueModel]:
    for provider, entries in providers.items():
        for entry in entries:
            yield CatalogueModel(
                provider=provider,
                model=entry["model"],
                tier=_known(entry["tier"], TIERS),
                operation=_known(entry.get("operation", "chat"), get_args(Operation)),
                context_tokens=entry["context"],
                answer_tokens=entry.get("answer"),
                capabilities=frozenset(_known(c, CAPABILITIES) for c in entry["can"]),
                retires=str(entry.get("retires", "")),
            )


def _known[W: str](word: str, words: tuple[W, ...]) -> W:
    for known in words:
        if known == word:
            return known
    raise ValueError(f"{word!r} is none of {', '.join(words)}")
