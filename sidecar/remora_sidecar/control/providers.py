"""Providers added and listed over the control listener.

The one answer to ``POST /providers`` follows the published tracker's protocol: 204. The
policy in force is replaced whole by one with the provider in it, so that connections made
from then on are judged by it, on the ports that reach the sidecar already.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from remora.providers import Provider, ProviderRegistry
from remora_sidecar.control.body_problems import problems_in
from remora_sidecar.engine.refusal import bad_request
from remora_sidecar.model.refusal import Refusal
from remora_sidecar.policy import PolicySnapshot
from remora_sidecar.policy.additions import addition_problem, is_known, provider_to_add


class AskedProvider(BaseModel):
    """What ``POST /providers`` takes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~](?:[ -~]*[!-~])?$")]
    base_url: Annotated[str, Field(max_length=2048)]
    path_patterns: Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=100)]


@dataclass(slots=True)
class Providers:
    """The sidecar's providers as the control listener changes them.

    Attributes:
        policy: Gives the policy in force.
        replace: Puts another in its place.
        may_sign: Whether the sidecar's CA may sign for a host or a ``*.`` pattern.
    """

    policy: Callable[[], PolicySnapshot]
    replace: Callable[[PolicySnapshot], None]
    may_sign: Callable[[str], bool]
    _listed: "HostList | None" = None

    def add(self, body: bytes) -> Refusal | None:
        """Add a provider, or replace one that was added; None if it is so now."""
        try:
            asked = AskedProvider.model_validate_json(body)
            provider = provider_to_add(asked.name, asked.base_url, asked.path_patterns)
        except ValidationError as error:
            return bad_request(f"the provider can't be added: {problems_in(error)}")
        except ValueError as error:
            return bad_request(f"the provider can't be added: {error}")
        snapshot = self.policy()
        if is_known(provider, snapshot):
            return None
        if problem := addition_problem(provider, snapshot, self.may_sign):
            return Refusal(409, "conflict", "PROVIDER_CONFLICT", problem)
        self.replace(snapshot.with_added(provider))
        return None

    def view(self) -> dict[str, Any]:
        """List the providers that are intercepted."""
        return {"providers": [_view(provider) for provider in self.policy().registry]}

    def hosts(self) -> "HostList":
        """List whose hosts are intercepted, for programs that send there only what is theirs."""
        registry = self.policy().registry
        if self._listed is None or self._listed.registry is not registry:
            self._listed = HostList.of(registry)
        return self._listed


@dataclass(frozen=True, slots=True)
class HostList:
    """The hosts of every provider.

    Attributes:
        registry: Whose list it is.
        providers: Of each its ``hosts``, ``ports`` and whether it speaks ``tls``.
        version: A short text that changes whenever the list does.
    """

    registry: ProviderRegistry
    providers: list[dict[str, Any]]
    version: str

    @classmethod
    def of(cls, registry: ProviderRegistry) -> "HostList":
        """List the hosts of a registry."""
        providers = [
            {
                "hosts": [host.text for host in provider.hosts],
                "ports": list(provider.ports),
                "tls": provider.tls,
            }
            for provider in registry
        ]
        version = hashlib.sha256(json.dumps(providers).encode()).hexdigest()[:16]
        return cls(registry, providers, version)


def _view(provider: Provider) -> dict[str, Any]:
    origin = "built_in" if provider.built_in else "document"
    return {
        "name": provider.name,
        "origin": "run_time" if provider.run_time else origin,
        "hosts": [host.text for host in provider.hosts],
        "ports": list(provider.ports),
        "tls": provider.tls,
        "dialects": list(provider.dialects),
        "path_patterns": list(provider.path_patterns),
    }
