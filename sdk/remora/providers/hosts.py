"""Host names and the patterns that providers are known by.

Three forms: an exact name or IP address; a leading ``*.``, which takes any name below it
(as a name constraint of a certificate does); any other ``*``, which stands for part of one
label. Names arrive from clients in any case, with a trailing dot or in brackets.
"""

import ipaddress
import re
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

MAX_HOST_CHARACTERS = 253
"""RFC 1035's limit of a name in text; a longer one is nobody's host."""

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_GLOB_LABEL = re.compile(r"[a-z0-9*_-]{1,63}")


class HostForm(Enum):
    """How a pattern matches."""

    EXACT = "exact"
    SUFFIX = "suffix"
    GLOB = "glob"


def normalized_host(host: str) -> str:
    """Return a host as patterns are written: lower case, no trailing dot, no brackets."""
    name = host.strip("[]").rstrip(".").lower()
    return str(ipaddress.ip_address(name)) if is_ip_address(name) else name


def is_ip_address(host: str) -> bool:
    """Tell whether a host is an IP address rather than a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback_host(host: str) -> bool:
    """Tell whether a normalized host names this machine: localhost or a loopback address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return is_ip_address(host) and ipaddress.ip_address(host).is_loopback


@dataclass(frozen=True)
class HostPattern:
    """One pattern of hosts; made by `parse`, so always well-formed.

    Attributes:
        text: As written, normalized.
        form: How it matches.
        base: What follows the leading ``*.`` of a suffix; elsewhere the text itself.
    """

    text: str
    form: HostForm
    base: str = field(repr=False)
    _regex: re.Pattern[str] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> "HostPattern":
        """Read a pattern.

        Raises:
            ValueError: It is none; the message says why.
        """
        host = normalized_host(text)
        if is_ip_address(host):
            return cls(host, HostForm.EXACT, host)
        _refuse_malformed(host)
        if "*" not in host:
            return cls(host, HostForm.EXACT, host)
        if host.startswith("*.") and "*" not in host[2:]:
            return cls(host, HostForm.SUFFIX, host[2:])
        return cls(host, HostForm.GLOB, host, _glob_regex(host))

    @property
    def is_ip(self) -> bool:
        """Whether the pattern is one IP address."""
        return self.form is HostForm.EXACT and is_ip_address(self.text)

    def matches(self, host: str) -> bool:
        """Tell whether a normalized host is one of the pattern's."""
        if self.form is HostForm.EXACT:
            return host == self.text
        if self.form is HostForm.SUFFIX:
            return host.endswith("." + self.base)
        return self._regex is not None and self._regex.fullmatch(host) is not None

    def overlaps(self, other: "HostPattern") -> bool:
        """Tell whether some host is one of both patterns'."""
        return _labels_overlap(self.text.split(".")[::-1], other.text.split(".")[::-1])


def _refuse_malformed(host: str) -> None:
    if not host or len(host) > MAX_HOST_CHARACTERS:
        raise ValueError(f"a host has 1 to {MAX_HOST_CHARACTERS} characters")
    if not host.isascii():
        raise ValueError("write the name in its ASCII (punycode) form")
    for label in host.split("."):
        shape = _GLOB_LABEL if "*" in label else _LABEL
        if not shape.fullmatch(label):
            raise ValueError(
                "a host is a name or address alone, without scheme, port, path or empty labels"
            )


def _labels_overlap(left: list[str], right: list[str]) -> bool:
    """Compare label by label from the top; a leading ``*`` takes all further labels."""
    for index in range(max(len(left), len(right))):
        if index >= len(left) or index >= len(right):
            return False
        if _takes_the_rest(left, index) or _takes_the_rest(right, index):
            return True
        if not _label_overlap(left[index], right[index]):
            return False
    return True


def _takes_the_rest(labels: list[str], index: int) -> bool:
    return index == len(labels) - 1 and labels[index] == "*"


def _label_overlap(left: str, right: str) -> bool:
    """Tell whether two labels have a word in common; two globs are taken to have one."""
    if "*" in left and "*" in right:
        return True
    glob, word = (left, right) if "*" in left else (right, left)
    return _glob_regex(glob).fullmatch(word) is not None


def _glob_regex(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text).replace(r"\*", "[a-z0-9-]+"))


@lru_cache(maxsize=1)
def _public_suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def breadth_problem(pattern: HostPattern) -> str | None:
    """Say why a pattern is wider than one registrable domain; None if it is not.

    What stands to the right of the last ``*`` must be a registrable domain or lie below
    one, by the Public Suffix List with its private part: ``*.example.com`` may stand,
    ``*.co.uk``, ``*.github.io`` and ``api.*.com`` may not.
    """
    if "*" not in pattern.text:
        return None
    fixed = pattern.text.rpartition("*")[2].partition(".")[2]
    if fixed and _public_suffixes().privatesuffix(fixed) is not None:
        return None
    return "wider than one registrable domain: anyone may own hosts that it takes"
