"""Fixtures that several parts' tests share."""

from collections.abc import Iterator

import pytest

from remora.testing.network import Network, simulated_network, why_not


@pytest.fixture(scope="session")
def _why_no_namespaces() -> str:
    return why_not()


@pytest.fixture
def namespaces_work(_why_no_namespaces: str) -> None:
    """Skip, with the reason, where no network namespaces can be made."""
    if _why_no_namespaces:
        pytest.skip(_why_no_namespaces)


@pytest.fixture
def network(namespaces_work: None) -> Iterator[Network]:
    """A pod and an internet of the test's own.

    ``network.pod.run(["curl", "https://api.openai.com"], uid=1000)`` is an agent's call,
    ``network.pod.start([...], uid=1500)`` a sidecar, and
    ``network.internet.listen("0.0.0.0", 443)`` a socket on which a double in the test's own
    process serves every public IPv4 address. Nothing is redirected until a test applies
    rules. In asyncio use ``network.pod.argv`` with ``create_subprocess_exec``.
    """
    with simulated_network() as made:
        yield made
