"""The catalogue that ships: whole, of providers that are known, and in step with its sources."""

import genai_prices.data
import pytest

from remora.providers.catalogue import builtin_providers
from remora.workflows.catalogue import Catalogue, CatalogueModel, catalogue_from
from remora.workflows.choosing import Market, Wanted
from remora.workflows.model import CAPABILITIES, TIERS
from remora.workflows.step import Need

CATALOGUE = Catalogue.builtin()
PROVIDERS = {provider.name: provider for provider in builtin_providers()}


@pytest.mark.parametrize("entry", CATALOGUE.models, ids=lambda entry: entry.name)
def test_every_model_is_at_a_provider_that_speaks_the_operation(entry):
    dialect = "openai-chat" if entry.operation == "chat" else "openai-embeddings"
    assert dialect in PROVIDERS[entry.provider].dialects


@pytest.mark.parametrize("entry", CATALOGUE.models, ids=lambda entry: entry.name)
def test_every_models_facts_fit_each_other(entry):
    assert entry.context_tokens >= (entry.answer_tokens or 0)
    assert ("long_context" in entry.capabilities) <= (entry.context_tokens >= 200_000)
    assert ("embeddings" in entry.capabilities) == (entry.operation == "embeddings")
    assert ("streaming" in entry.capabilities) == (entry.operation == "chat")
    assert not entry.retires or entry.retires > CATALOGUE.checked


def _priced():
    of = {provider.name: provider.price_id for provider in builtin_providers()}
    ids = {provider.id: provider for provider in genai_prices.data.providers}
    return [e for e in CATALOGUE.models if of[e.provider] in ids], of, ids


def test_the_price_book_knows_every_model_of_the_providers_that_it_knows():
    entries, of, ids = _priced()
    unknown = [e.name for e in entries if ids[of[e.provider]].find_model(e.model) is None]
    assert unknown == []


def test_no_context_is_larger_than_the_price_book_has_it():
    entries, of, ids = _priced()
    found = [(e, ids[of[e.provider]].find_model(e.model).context_window) for e in entries]
    assert [e.name for e, window in found if window and e.context_tokens > window] == []


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
def test_the_large_providers_have_models_of_every_tier(provider, tier):
    choice = Market(CATALOGUE).choose(Wanted(tiers=[tier], provider=provider))
    assert choice.candidates


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_some_model_has_each_capability(capability):
    operation = "embeddings" if capability == "embeddings" else "chat"
    wanted = Wanted([Need(kind=capability)], operation=operation)
    assert Market(CATALOGUE).choose(wanted).candidates


def test_the_facts_have_a_date_and_sources():
    assert CATALOGUE.checked >= "2026-11-22"
    assert len(CATALOGUE.sources) == 2


def test_a_model_is_found_by_name_and_provider():
    assert {e.provider for e in CATALOGUE.find("gpt-oss-120b")} == {"cerebras", "sambanova"}
    assert len(CATALOGUE.find("gpt-oss-120b", "cerebras")) == 1
    assert CATALOGUE.find("nothing") == ()


def test_models_can_be_added_and_replaced():
    own = CatalogueModel("vllm", "own-7b", "fast", "chat", 8192, None, frozenset({"streaming"}))
    larger = CatalogueModel("vllm", "own-7b", "high", "chat", 8192, None, frozenset())
    made = CATALOGUE.with_models([own]).with_models([larger])
    assert made.find("own-7b") == (larger,)
    assert len(made.models) == len(CATALOGUE.models) + 1


ENTRY = {"model": "m", "tier": "fast", "context": 1, "can": []}
BAD = {
    "a tier": [{**ENTRY, "tier": "quick"}],
    "a capability": [{**ENTRY, "can": ["flying"]}],
    "an operation": [{**ENTRY, "operation": "sing"}],
    "a model twice": [ENTRY, ENTRY],
}


@pytest.mark.parametrize("entries", BAD.values(), ids=BAD)
def test_a_catalogue_that_makes_no_sense_is_refused(entries):
    document = {"checked": "2026-01-01", "sources": [], "providers": {"p": entries}}
    with pytest.raises(ValueError, match=r"none of|more than once"):
        catalogue_from(document)
