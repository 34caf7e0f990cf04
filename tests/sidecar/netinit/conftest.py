"""A network namespace for rules that are meant seriously."""

from collections.abc import Iterator

import pytest

from remora.testing.network import Network, simulated_network, why_not


@pytest.fixture(scope="session")
def _namespaces_work() -> str:
    return why_not()


@pytest.fixture
def network(_namespaces_work: str) -> Iterator[Network]:
    """A pod and an internet; skips, with the reason, where none can be made."""
    if _namespaces_work:
        pytest.skip(_namespaces_work)
    with simulated_network() as made:
        yield made
