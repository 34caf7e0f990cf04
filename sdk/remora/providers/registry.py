"""Which provider a host is: asked for every new connection and every call."""

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache

from remora.providers.catalogue import builtin_providers
from remora.providers.hosts import MAX_HOST_CHARACTERS, HostForm, HostPattern, normalized_host
from remora.providers.provider import Provider

_MEMOIZED_HOSTS = 2048
"""Answers kept; a client that walks through more names only loses some speed."""

_MAX_SPELLED_CHARACTERS = MAX_HOST_CHARACTERS + 3
"""A name with a trailing dot or an address in brackets; nothing longer is looked up or kept."""


class ProviderRegistry:
    """An immutable set of providers that finds one by host."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        """Index the providers; of two with one name the later stands."""
        self._by_name = {provider.name: provider for provider in providers}
        self._tls = _HostIndex([p for p in self if p.tls])
        ports = {port for p in self if not p.tls for port in p.ports}
        self._plain = {
            port: _HostIndex([p for p in self if not p.tls and port in p.ports]) for port in ports
        }

    @classmethod
    def builtin(cls) -> "ProviderRegistry":
        """Return the providers that Remora knows by itself."""
        return _builtin_registry()

    def __iter__(self) -> Iterator[Provider]:
        """Go through the providers in the order they were given."""
        return iter(self._by_name.values())

    @property
    def names(self) -> tuple[str, ...]:
        """The providers' names, in the order they were given."""
        return tuple(self._by_name)

    def get(self, name: str) -> Provider | None:
        """Return a provider by name; None if there is none."""
        return self._by_name.get(name)

    def match_tls(self, host: str) -> Provider | None:
        """Return the provider that serves a host over TLS, on whatever port; None if none does.

        Args:
            host: As a client wrote it: any case, with or without a trailing dot.
        """
        return self._tls.find(host)

    def match_plain(self, host: str, port: int) -> Provider | None:
        """Return the provider that serves a host in plain HTTP on a port; None if none does."""
        index = self._plain.get(port)
        return None if index is None else index.find(host)

    def with_providers(self, providers: Iterable[Provider]) -> "ProviderRegistry":
        """Return a registry with these as well; they were checked against each other before."""
        return ProviderRegistry([*self, *providers])

    def only(self, names: Collection[str]) -> "ProviderRegistry":
        """Return a registry of the named providers.

        Raises:
            KeyError: There is no provider of such a name.
        """
        unknown = set(names).difference(self._by_name)
        if unknown:
            raise KeyError(f"no such provider: {', '.join(sorted(unknown))}")
        return ProviderRegistry(p for p in self if p.name in names)


@lru_cache(maxsize=1)
def _builtin_registry() -> ProviderRegistry:
    return ProviderRegistry(builtin_providers())


class _HostIndex:
    """Finds the provider of a host: by dictionary for names, then suffixes, then globs."""

    def __init__(self, providers: Collection[Provider]) -> None:
        patterns = [(pattern, provider) for provider in providers for pattern in provider.hosts]
        self._exact = _of_form(patterns, HostForm.EXACT)
        self._suffixes = _of_form(patterns, HostForm.SUFFIX)
        self._globs = [(p, provider) for p, provider in patterns if p.form is HostForm.GLOB]
        self._memoized = lru_cache(maxsize=_MEMOIZED_HOSTS)(self._search)

    def find(self, host: str) -> Provider | None:
        return self._memoized(host) if len(host) <= _MAX_SPELLED_CHARACTERS else None

    def _search(self, spelled: str) -> Provider | None:
        host = normalized_host(spelled)
        return self._exact.get(host) or self._below_suffix(host) or self._in_glob(host)

    def _below_suffix(self, host: str) -> Provider | None:
        """Try the longest suffix first, so that the most exact pattern wins."""
        label, dot, base = host.partition(".")
        while dot:
            if label and base in self._suffixes:
                return self._suffixes[base]
            label, dot, base = base.partition(".")
        return None

    def _in_glob(self, host: str) -> Provider | None:
        return next((provider for pattern, provider in self._globs if pattern.matches(host)), None)


def _of_form(
    patterns: Iterable[tuple[HostPattern, Provider]], form: HostForm
) -> dict[str, Provider]:
    return {pattern.base: provider for pattern, provider in patterns if pattern.form is form}
