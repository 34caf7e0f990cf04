"""A cluster with one pod, and whoever asks its API server."""

import pytest

from remora.testing.clock import ManualClock
from remora.testing.kubernetes_api import KubernetesApi
from remora_operator.cluster.api_server import ApiServer
from remora_operator.delivery.token_review import AUDIENCE, TokenReviews

TOKEN = "token-of-the-agent"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def cluster():
    async with KubernetesApi().serving() as running:
        running.add_pod("team-a", "agent-1", token=TOKEN, audience=AUDIENCE)
        yield running


@pytest.fixture
async def reviews(cluster, clock):
    async with ApiServer(cluster.url, timeout_s=5.0) as server:
        made = TokenReviews(server, clock)
        yield made
        await made.aclose()
