"""What of a call can't change its answer nor tell tenants apart, read from ``harmless.yaml``."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML


@dataclass(frozen=True, slots=True)
class Harmless:
    """What does not count for one provider and dialect.

    Attributes:
        headers: Names, lower case.
        header_prefixes: Beginnings of names, lower case.
        fields: Members of the body's outermost object.
    """

    headers: frozenset[bytes]
    header_prefixes: tuple[bytes, ...]
    fields: frozenset[str]

    def has_header(self, name: bytes) -> bool:
        """Tell whether a field of this name, lower case, does not count."""
        return name in self.headers or name.startswith(self.header_prefixes)


@lru_cache(maxsize=256)
def harmless(provider: str, dialect: str) -> Harmless:
    """Return the list for a provider and dialect."""
    listed = _listed()
    return Harmless(
        headers=frozenset(name.encode() for name in listed["headers"]),
        header_prefixes=tuple(name.encode() for name in listed["header_prefixes"]),
        fields=frozenset(
            entry["name"]
            for entry in listed["fields"]
            if dialect in entry["dialects"] and provider in entry["providers"]
        ),
    )


@lru_cache(maxsize=1)
def _listed() -> Mapping[str, Any]:
    text = files(__package__).joinpath("harmless.yaml").read_text(encoding="utf-8")
    listed: Mapping[str, Any] = YAML(typ="safe", pure=True).load(text)
    return listed
