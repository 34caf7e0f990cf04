"""The providers that the package ships as data, read from ``builtin.yaml`` on first use."""

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML

from remora.providers.hosts import HostPattern
from remora.providers.provider import AuthScheme, Provider


@lru_cache(maxsize=1)
def builtin_providers() -> tuple[Provider, ...]:
    """Return the built-in providers."""
    text = files(__package__).joinpath("builtin.yaml").read_text(encoding="utf-8")
    entries = YAML(typ="safe", pure=True).load(text)
    return tuple(_provider(entry) for entry in entries)


def _provider(entry: Mapping[str, Any]) -> Provider:
    paths = {
        dialect: base.rstrip("/")
        for base, dialects in entry["dialects"].items()
        for dialect in dialects
    }
    return Provider(
        name=entry["name"],
        hosts=tuple(HostPattern.parse(host) for host in entry["hosts"]),
        ports=tuple(entry.get("ports", (443,))),
        tls=entry.get("tls", True),
        dialects=tuple(paths),
        base_paths=paths,
        auth=AuthScheme(entry["auth"]),
        price_id=entry.get("price_id"),
        takes_include_usage=entry.get("include_usage", False),
        built_in=True,
        claimed_only=entry.get("claimed_only", False),
    )
