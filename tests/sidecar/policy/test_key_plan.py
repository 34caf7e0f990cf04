"""Whose key calls carry: a provider's own entry, else that of all others, else the agent's."""

import pytest

from remora.policy.limits import Credential
from remora.providers import ProviderRegistry
from remora_sidecar.policy.additions import provider_to_add
from remora_sidecar.policy.key_plan import UNTOUCHED, KeyPlan, plan, plans

OPENAI = ProviderRegistry.builtin().get("openai")


def _credential(provider, **fields):
    return Credential.model_validate({"provider": provider, **fields})


SECRET = {"name": "openai", "key": "api-key"}
KEYED = _credential("openai", secretRef=SECRET)
ONLY_POLICY = _credential("openai", onlyFrom="policy")
BOTH = _credential("openai", secretRef=SECRET, onlyFrom="policy")
OTHERS = _credential("groq", secretRef={"name": "groq", "key": "k"})
EVERY = _credential("*", onlyFrom="policy")

PLANS = {
    "none": ([], UNTOUCHED),
    "another's": ([OTHERS], UNTOUCHED),
    "a key": ([KEYED], KeyPlan(KEYED, strip=True)),
    "a key, and only it": ([BOTH], KeyPlan(BOTH, strip=True)),
    "none from the agent": ([ONLY_POLICY], KeyPlan(None, strip=True)),
    "none from any agent": ([EVERY], KeyPlan(None, strip=True)),
    "its own before all others'": ([EVERY, KEYED], KeyPlan(KEYED, strip=True)),
    "its own, in whatever order": ([KEYED, EVERY], KeyPlan(KEYED, strip=True)),
    "all others' beside another's": ([OTHERS, EVERY], KeyPlan(None, strip=True)),
}


@pytest.mark.parametrize(("credentials", "planned"), PLANS.values(), ids=PLANS)
def test_the_most_exact_entry_decides(credentials, planned):
    assert plan(credentials, OPENAI) == planned


@pytest.mark.parametrize("credentials", [[KEYED], [BOTH], [EVERY], [KEYED, EVERY]])
def test_a_provider_added_at_run_time_gets_no_key_but_loses_the_agents(credentials):
    added = provider_to_add("openai", "https://evil.example", [])
    assert plan(credentials, added) == KeyPlan(None, strip=True)


def test_all_providers_are_planned_at_once():
    planned = plans([KEYED, EVERY], ProviderRegistry.builtin())
    assert set(planned) == set(ProviderRegistry.builtin().names)
    assert planned["openai"].replace is KEYED
    assert all(entry.strip for entry in planned.values())
    assert [name for name, entry in planned.items() if entry.replace] == ["openai"]
