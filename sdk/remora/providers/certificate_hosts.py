"""For which hosts a sidecar's certificate must be good, in the forms that one can express.

A certificate can be constrained to a name with all that is below it (RFC 5280 §4.2.1.10), and to
nothing else: exact names and a leading ``*.`` pass as they are, other globs of built-in providers
are written out by their regions. Operator and sidecar both ask here, so that they agree.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files

from ruamel.yaml import YAML

from remora.providers.hosts import HostForm, HostPattern
from remora.providers.provider import Provider


def certificate_hosts(providers: Iterable[Provider]) -> tuple[str, ...]:
    """Return exact names and ``*.`` names of all providers that are reached over TLS, sorted.

    Raises:
        ValueError: A pattern can't be expressed; policies with such a one are refused before.
    """
    patterns = (host for provider in providers if provider.tls for host in provider.hosts)
    return tuple(sorted({name for pattern in patterns for name in _names(pattern)}))


def _names(pattern: HostPattern) -> Iterable[str]:
    if pattern.is_ip:
        raise ValueError(f"{pattern.text}: no certificate is made for an address")
    if pattern.form is not HostForm.GLOB:
        return (pattern.text,)
    lead, text = ("*.", pattern.text[2:]) if pattern.text.startswith("*.") else ("", pattern.text)
    if text.count("*") != 1:
        raise ValueError(f"{pattern.text}: only one '*' can stand for a region")
    return (lead + text.replace("*", region) for region in _regions_of(text))


def _regions_of(text: str) -> Sequence[str]:
    fits = {below: regions for below, regions in _regions() if text.endswith("." + below)}
    if not fits:
        raise ValueError(f"{text}: the regions that its '*' stands for are not known")
    return fits[max(fits, key=len)]


@lru_cache(maxsize=1)
def _regions() -> tuple[tuple[str, tuple[str, ...]], ...]:
    text = files(__package__).joinpath("regions.yaml").read_text(encoding="utf-8")
    entries = YAML(typ="safe", pure=True).load(text)
    return tuple((below, tuple(entry["regions"])) for entry in entries for below in entry["below"])
