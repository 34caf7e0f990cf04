"""What the model that is asked can do, as far as it is known."""

from functools import lru_cache

from remora.workflows.capabilities import Overrides
from remora.workflows.catalogue import Catalogue, CatalogueModel
from remora.workflows.model import Capability

_SCHEMAS_FOR_ANY: frozenset[Capability] = frozenset({"structured_output", "json_mode"})

_HOLD_ANY_MODEL = frozenset({"vllm", "ollama", "lm-studio", "fireworks"})
"""Servers that hold every model to a schema by themselves, as they write its tokens.

docs.vllm.ai "Structured Outputs", docs.ollama.com "Structured outputs", lmstudio.ai/docs
"Structured Output", docs.fireworks.ai "Structured responses".
"""


@lru_cache(maxsize=1024)
def known_abilities(provider: str, model: str) -> frozenset[Capability]:
    """Return what the package's catalogue says of a model; nothing of one it does not know.

    A name with a date behind it (``gpt-4o-2024-08-06``) is the model without one.

    Args:
        provider: Its name.
        model: As the provider takes it.
    """
    entry = _entry(provider, model)
    if entry is not None:
        return entry.capabilities
    return _SCHEMAS_FOR_ANY if provider in _HOLD_ANY_MODEL else frozenset()


def abilities(provider: str, model: str, overrides: Overrides) -> frozenset[Capability]:
    """Return what a model can do where a namespace has its own meanings of capabilities."""
    known = known_abilities(provider, model)
    if not overrides.capabilities:
        return known
    entry = _entry(provider, model)
    own = {
        capability
        for capability, requirement in overrides.capabilities.items()
        if (
            requirement.is_met_by(entry)
            if entry is not None
            else requirement.is_met_by_name(provider, model)
        )
    }
    return (known - overrides.capabilities.keys()) | own


def _entry(provider: str, model: str) -> CatalogueModel | None:
    found = [
        entry
        for entry in Catalogue.builtin().models
        if entry.provider == provider and _is_named(model, entry.model)
    ]
    return max(found, key=lambda entry: len(entry.model), default=None)


def _is_named(model: str, known: str) -> bool:
    rest = model.removeprefix(known)
    if rest == model:
        return False
    return not rest or (rest.startswith("-20") and rest.replace("-", "").isdigit())
