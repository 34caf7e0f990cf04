"""Fixtures that several parts' tests share."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from remora.testing.network import Network, simulated_network, why_not
from remora.testing.transcripts import Transcript, find_corpus, load_transcripts

# How long drawing or trying an example takes says how busy the machine is, and nothing else.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def _why_no_namespaces() -> str:
    return why_not()


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def recorded() -> Callable[[str], Sequence[Transcript]]:
    """Give what loads every recorded exchange of a dialect; skips where there is no corpus."""
    folder = find_corpus(os.environ.get("REMORA_CORPUS", ""), Path(__file__).parents[1])
    if folder is None:
        pytest.skip("no recorded exchanges: set REMORA_CORPUS to their folder")

    @lru_cache
    def load(dialect: str) -> Sequence[Transcript]:
        return tuple(load_transcripts(folder, dialect))

    return load


@pytest.fixture(scope="session")
def chat_transcripts(
    recorded: Callable[[str], Sequence[Transcript]],
) -> Sequence[Transcript]:
    """Every recorded openai-chat exchange."""
    return recorded("openai-chat")
