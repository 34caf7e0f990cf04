"""Whether the models that a policy has the sidecar ask itself can be asked. Pure."""

from collections.abc import Iterator, Mapping

from remora.policy.signals import AskedModel
from remora.policy.spec import CallRules
from remora.policy.yaml_source import Path
from remora.providers import Provider
from remora.providers.hosts import HostForm

ASKED_DIALECT = "openai-chat"


def unaskable(rules: CallRules, providers: Mapping[str, Provider]) -> Iterator[tuple[Path, str]]:
    """Find the models that can't be asked.

    Args:
        rules: Of a policy.
        providers: All that are known, by name; unknown ones are somebody else's to find.

    Yields:
        Where each stands, below the rules, and why it can't be asked.
    """
    for field, asked in rules.signals.asked().items():
        provider = providers.get(asked.provider)
        if provider is not None and (problem := _problem(asked, provider, rules)):
            yield ("signals", field, "provider"), problem


def _problem(asked: AskedModel, provider: Provider, rules: CallRules) -> str:
    name = asked.provider
    if ASKED_DIALECT not in provider.dialects:
        return f"{name!r} does not speak {ASKED_DIALECT}, in which models are asked: name another"
    if all(host.form is not HostForm.EXACT for host in provider.hosts):
        return f"{name!r} has no host of one name that could be asked: name another provider"
    if rules.intercept is not None and name not in rules.intercept:
        return f"calls to {name!r} are not intercepted: add it to intercept"
    if _needs_key(provider) and not _has_key(name, rules):
        return f"there is no key for {name!r}: add one to credentials, with its secretRef"
    return ""


def _needs_key(provider: Provider) -> bool:
    """Tell whether it surely needs one: of others than the built-in ones nobody knows."""
    return provider.built_in and provider.tls


def _has_key(name: str, rules: CallRules) -> bool:
    return any(key.provider == name and key.secret_ref is not None for key in rules.credentials)
