"""The models that a client can ask for, in OpenAI's shape."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from remora.workflows.catalogue import Catalogue
from remora_sidecar.openai_api.client_key import ClientKey
from remora_sidecar.openai_api.offers import Offers, always
from remora_sidecar.openai_api.surface import AUTO, AUTO_MODELS, CHAT, EMBEDDINGS


def listed_models(offers: Offers, key: ClientKey) -> list[dict[str, Any]]:
    """List them, `auto` first; a name that two providers have stands for the first of them."""
    found = {AUTO: "remora"}
    for provider, model in _askable(offers, key):
        found.setdefault(model if model not in found else f"{provider}/{model}", provider)
    return [model_view(name, owner) for name, owner in found.items()]


def found_model(offers: Offers, key: ClientKey, name: str) -> dict[str, Any] | None:
    """Show one of them; None if there is none of that name."""
    if name in AUTO_MODELS:
        return model_view(name, "remora")
    for provider, model in _askable(offers, key):
        if name in (model, f"{provider}/{model}"):
            return model_view(name, provider)
    return None


def model_view(name: str, owner: str) -> dict[str, Any]:
    """Show a model as OpenAI does; `created` is the day on which the catalogue was checked."""
    checked = datetime.fromisoformat(Catalogue.builtin().checked).replace(tzinfo=UTC)
    made = int(checked.timestamp())
    return {"id": name, "object": "model", "created": made, "owned_by": owner}


def _askable(offers: Offers, key: ClientKey) -> Iterator[tuple[str, str]]:
    catalogue, today = Catalogue.builtin(), offers.today
    markets = {of.looks_for: offers.market(catalogue, always(of), key) for of in (CHAT, EMBEDDINGS)}
    for entry in catalogue.models:
        is_retired = entry.retires and entry.retires <= today
        if not is_retired and not markets[entry.operation].permits(entry):
            yield entry.provider, entry.model
    for provider, model in offers.own_models():
        if not offers.why_not(CHAT, provider, model, key, was_named=True):
            yield provider.name, model
