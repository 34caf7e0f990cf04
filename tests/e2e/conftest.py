"""Fixtures of the tests that run whole programs."""

from collections.abc import Iterator

import pytest

from remora.testing.network import Network, simulated_network, why_not


@pytest.fixture(scope="session")
def _namespaces_work() -> str:
    return why_not()


@pytest.fixture
def network(_namespaces_work: str) -> Iterator[Network]:
    """A pod and an internet of the test's own; skips, with the reason, where none can be made.

    ``network.pod.run(["curl", "https://api.openai.com"], uid=1000)`` is an agent's call,
    ``network.pod.start([...], uid=1500)`` a sidecar, and
    ``network.internet.listen("0.0.0.0", 443)`` a socket on which a double in the test's own
    process serves every public IPv4 address. Nothing is redirected until a test applies
    rules: ``network.pod.run(["nft", "-f", "-"], stdin=render(settings), check=True)``.
    In asyncio use ``network.pod.argv`` with ``create_subprocess_exec``.
    """
    if _namespaces_work:
        pytest.skip(_namespaces_work)
    with simulated_network() as made:
        yield made
