"""Which ports must reach the sidecar for a policy to hold. Pure."""

from collections.abc import Iterator

from remora.policy.effective import EffectivePolicy
from remora.policy.provider_document import provider_of
from remora.providers import Provider, ProviderRegistry
from remora.providers.hosts import is_loopback_host


def redirect_ports(policy: EffectivePolicy) -> tuple[int, ...]:
    """Return the ports of the intercepted providers, ascending.

    Providers on this machine alone are left out: what goes over loopback is never redirected.
    """
    return tuple(sorted({port for p in _intercepted(policy) if _is_remote(p) for port in p.ports}))


def _intercepted(policy: EffectivePolicy) -> Iterator[Provider]:
    for provider in (*map(provider_of, policy.providers), *ProviderRegistry.builtin()):
        if provider.name in policy.intercept:
            yield provider


def _is_remote(provider: Provider) -> bool:
    return not all(is_loopback_host(host.text) for host in provider.hosts)
