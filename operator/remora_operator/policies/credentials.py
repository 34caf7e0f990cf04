"""Which Secrets a policy's credentials may use. Pure.

A policy's author names Secrets without having to be able to read them. So the Secret has to say
itself whose key it holds, by the label ``remora.dev/provider: NAME``, which only those who may
write the Secret can set. A credential that names any other is *withheld*: the key is neither
mounted nor named in the document that travels, and the agent's own key is stripped as the policy
wants it, so that the calls fail and nothing leaks.
"""

from collections.abc import Callable
from dataclasses import dataclass

from remora.policy.limits import Credential
from remora.policy.spec import CallRules

PROVIDER_LABEL = "remora.dev/provider"

ProviderOfSecret = Callable[[str], str | None]
"""Gives, by a Secret's name, the provider that its label names; None: no label, or no Secret."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """A credential that is not used, and what would have to be done about it."""

    provider: str
    secret: str

    def __str__(self) -> str:
        return (
            f"the key for {self.provider} is withheld: label the Secret {self.secret} of the "
            f"pod's namespace with {PROVIDER_LABEL}={self.provider}"
        )


def permitted[R: CallRules](
    rules: R, provider_of: ProviderOfSecret
) -> tuple[R, tuple[Withheld, ...]]:
    """Return the rules with no credential in them whose Secret is not its provider's."""
    withheld = tuple(
        Withheld(key.provider, key.secret_ref.name)
        for key in rules.credentials
        if key.secret_ref is not None and not _may_use(key, provider_of)
    )
    if not withheld:
        return rules, ()
    keys = tuple(
        key if _may_use(key, provider_of) else _without_key(key) for key in rules.credentials
    )
    return rules.model_copy(update={"credentials": keys}), withheld


def _may_use(key: Credential, provider_of: ProviderOfSecret) -> bool:
    return key.secret_ref is None or provider_of(key.secret_ref.name) == key.provider


def _without_key(key: Credential) -> Credential:
    return key.model_copy(update={"secret_ref": None, "only_from": "policy"})
