"""What a request says to caches: Cache-Control and Pragma (RFC 9111 §5.2.1, §5.4). Pure."""

import re
from dataclasses import dataclass

from remora_sidecar.model.exchange import Headers

_MAX_SECONDS = 2**31
"""RFC 9111 §1.2.2: what is larger counts as this."""
_DIRECTIVE = re.compile(
    rb'[\s,]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:=[ \t]*("(?:[^"\\]|\\.)*"|[^\s,"]*))?[^,"]*'
)


@dataclass(frozen=True, slots=True)
class Directives:
    """The request directives that this cache obeys.

    Attributes:
        no_store: Neither look for an answer nor keep it.
        no_cache: Do not look for an answer, but keep it.
        only_if_cached: Answer from the cache or not at all.
        max_age_s: How old an answer may be; one that is unreadable counts as 0.
    """

    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age_s: float | None = None


NONE = Directives()


def read_directives(headers: Headers) -> Directives:
    """Read a request's directives; of contradicting ones the stricter counts."""
    control = _joined(headers, b"cache-control")
    if control is None:
        pragma = _joined(headers, b"pragma")
        return NONE if pragma is None else Directives(no_cache="no-cache" in dict(_read(pragma)))
    stated = _read(control)
    names = {name for name, _ in stated}
    ages = [_seconds(value) for name, value in stated if name == "max-age"]
    return Directives(
        no_store="no-store" in names,
        no_cache="no-cache" in names,
        only_if_cached="only-if-cached" in names,
        max_age_s=min(ages, default=None),
    )


def _joined(headers: Headers, name: bytes) -> bytes | None:
    values = [value for key, value in headers if len(key) == len(name) and key.lower() == name]
    return b",".join(values) if values else None


def _read(text: bytes) -> list[tuple[str, bytes]]:
    return [
        (match[1].decode("ascii").lower(), (match[2] or b"").strip(b'"'))
        for match in _DIRECTIVE.finditer(text)
    ]


def _seconds(value: bytes) -> float:
    if not value.isdigit():
        return 0.0
    return float(min(int(value[:20]), _MAX_SECONDS))
