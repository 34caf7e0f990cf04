"""From provider hosts to name constraints (RFC 5280 §4.2.1.10). Pure.

A constraint takes a name and all below it; there is no narrower form that every client reads, so
an exact host's constraint takes what is below it too, and ``*.`` stands for its base. Certificates
are kept small: hosts are dealt out to several, each of which a client gets whole in a handshake.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import batched

from publicsuffixlist import PublicSuffixList

from remora.errors import ConfigError, Problem
from remora.providers.hosts import HostForm, HostPattern

HOSTS_EACH = 40
"""Constraints in one certificate: some 1.5 kB. Java reads no handshake message beyond 32 kB."""

MAX_HOSTS = 4096

_OF_THE_CLUSTER = frozenset({"localhost", "local", "cluster.local", "svc.cluster.local", "svc"})
"""Domains of a cluster itself: a certificate for one would be good for every service."""


def constraint_groups(hosts: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Deal hosts out to as few certificates as are needed.

    Args:
        hosts: Exact names and ``*.`` names, in any order and spelling.

    Returns:
        The constraints of each certificate; the same hosts give the same groups.

    Raises:
        ConfigError: A host can't be expressed or would take more than one owner's names.
    """
    return _grouped(tuple(hosts))


@lru_cache(maxsize=64)
def _grouped(hosts: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Memoized, since all pods of one policy have the same hosts and start together."""
    patterns, problems = _read(hosts)
    if len(patterns) > MAX_HOSTS:
        problems.append(Problem("hosts", f"{len(patterns)} are more than the {MAX_HOSTS} allowed"))
    if problems:
        raise ConfigError(problems)
    return tuple(batched(_widest({pattern.base for pattern in patterns}), HOSTS_EACH))


def covers(constraints: Iterable[str], host: str) -> bool:
    """Tell whether constraints permit a host, or all below a ``*.``."""
    permitted, name = frozenset(constraints), host.removeprefix("*.")
    return name in permitted or not permitted.isdisjoint(_above(name))


def added_hosts(held: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the hosts for which a new certificate is needed.

    Args:
        held: Hosts that the certificates in use were made for.
        wanted: Hosts of the policy that is to hold.
    """
    bases = frozenset(host.removeprefix("*.") for host in held)
    return tuple(host for host in wanted if not covers(bases, host))


def _read(hosts: Iterable[str]) -> tuple[list[HostPattern], list[Problem]]:
    patterns, problems = [], []
    for host in dict.fromkeys(hosts):
        try:
            pattern = HostPattern.parse(host)
        except ValueError as error:
            problems.append(Problem(repr(host[:64]), str(error)))
            continue
        if what := _problem(pattern):
            problems.append(Problem(repr(pattern.text), what))
        patterns.append(pattern)
    return patterns, problems


def _problem(pattern: HostPattern) -> str:
    if pattern.is_ip:
        return "no certificate is made for an address"
    if pattern.form is HostForm.GLOB:
        return "only a leading '*.' may stand for many hosts"
    if _public_suffixes().publicsuffix(pattern.base) == pattern.base:
        return "anyone may own names below it, and a certificate would be good for all of them"
    if pattern.base in _OF_THE_CLUSTER:
        return "every service of the cluster is below it: name the service"
    return ""


def _widest(names: set[str]) -> list[str]:
    """Leave out names below others, and sort by the domain, so that neighbours stand together."""
    kept = [name for name in names if names.isdisjoint(_above(name))]
    return sorted(kept, key=lambda name: name.split(".")[::-1])


def _above(name: str) -> list[str]:
    labels = name.split(".")
    return [".".join(labels[at:]) for at in range(1, len(labels))]


@lru_cache(maxsize=1)
def _public_suffixes() -> PublicSuffixList:
    """The list, without its rule that every unknown top-level domain is a suffix."""
    return PublicSuffixList(accept_unknown=False)
