"""Which packages an extra of this distribution brings, and which of them are not installed.

Asked of the installed distributions' metadata, so that nothing is imported.
"""

import re
from collections.abc import Iterator
from importlib import metadata

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*\bextra == ['\"]([A-Za-z0-9._-]+)['\"]")


def missing_packages(extra: str) -> list[str]:
    """Return the packages of an extra that are not installed."""
    return [name for name in _packages(extra) if not _is_installed(name)]


def _packages(extra: str) -> Iterator[str]:
    try:
        requirements = metadata.requires("remora") or []
    except metadata.PackageNotFoundError:  # a source tree that was never installed
        return
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is not None and match[2] == extra:
            yield match[1]


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
