"""What policy does with the keys of calls to a provider. Pure; worked out once per snapshot."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from remora.policy.limits import Credential
from remora.providers import Provider

EVERY_OTHER = "*"
"""As a credential's provider: all that have no entry of their own."""


class KeyPlan(NamedTuple):
    """What becomes of the key of a call.

    Attributes:
        replace: Whose key goes in its place; None where none does.
        strip: The agent's own is taken out, even where no other can be put in.
    """

    replace: Credential | None = None
    strip: bool = False


UNTOUCHED = KeyPlan()


def plan(credentials: Iterable[Credential], provider: Provider) -> KeyPlan:
    """Decide for one provider: its own entry, else that of ``*``, else nothing is done."""
    by_name = {credential.provider: credential for credential in credentials}
    own = by_name.get(provider.name)
    if own is not None and own.secret_ref is not None and not provider.run_time:
        return KeyPlan(own, strip=True)
    entry = own or by_name.get(EVERY_OTHER)
    return UNTOUCHED if entry is None else KeyPlan(None, strip=True)


def plans(
    credentials: Iterable[Credential], providers: Iterable[Provider]
) -> Mapping[str, KeyPlan]:
    """Decide for all providers of a snapshot; by name."""
    entries = tuple(credentials)
    return {provider.name: plan(entries, provider) for provider in providers}
